"""The CUDA backend: batches of one fixed shape, whose steps run as captured CUDA graphs."""

from .engine import CudaEngine
from .graph import BATCHES_AT_ONCE

__all__ = ["BATCHES_AT_ONCE", "CudaEngine"]
