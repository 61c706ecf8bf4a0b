"""The CUDA backend: batches of one fixed shape, whose steps run as captured CUDA graphs."""

from .engine import CudaEngine

__all__ = ["CudaEngine"]
