"""Fixed shapes: a step of many streams that is the same work each time, and its CUDA graphs."""

from .engine import CudaEngine
from .graph import BATCHES_AT_ONCE

__all__ = ["BATCHES_AT_ONCE", "CudaEngine"]
