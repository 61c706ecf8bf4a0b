"""Fixed shapes: a step of many streams that is the same work each time, and its CUDA graphs."""

from .engine import CudaEngine

__all__ = ["CudaEngine"]
