"""Runs the networks of `nn` on blocks of fixed shape, with the state of each stream apart.

What it computes is what `nn` computes on the whole audio; the tests hold it to that.
"""

from .blocks import DecodeItem, EncodedBlock, EncodeItem, StreamState
from .choose import BACKENDS, PRECISIONS, Backend, make_engine
from .cuda import BATCHES_AT_ONCE, CudaEngine
from .native import NativeEngine
from .overlap import OverlapAdd
from .protocol import EncodePrecision, Engine, EngineOptions, Precision
from .torch_engine import TorchEngine

__all__ = [
    "BACKENDS",
    "BATCHES_AT_ONCE",
    "PRECISIONS",
    "Backend",
    "CudaEngine",
    "DecodeItem",
    "EncodeItem",
    "EncodePrecision",
    "EncodedBlock",
    "Engine",
    "EngineOptions",
    "NativeEngine",
    "OverlapAdd",
    "Precision",
    "StreamState",
    "TorchEngine",
    "make_engine",
]
