"""Runs the networks of `nn` on blocks of fixed shape, with the state of each stream apart.

What it computes is what `nn` computes on the whole audio; the tests hold it to that.

The native backend does without torch. The others, `torch_engine.TorchEngine` and
`cuda.CudaEngine`, are imported by name, or by `make_engine` when it chooses one.
"""

from .choose import make_engine
from .native import NativeEngine
from .overlap import OverlapAdd
from .protocol import (
    BATCHES_AT_ONCE,
    BEAMS,
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EncodePrecision,
    Engine,
    EngineOptions,
    NetworkWeights,
    Precision,
    StateDict,
    StreamState,
    check_effort,
)

__all__ = [
    "BATCHES_AT_ONCE",
    "BEAMS",
    "DecodeItem",
    "EncodeItem",
    "EncodePrecision",
    "EncodedBlock",
    "Engine",
    "EngineOptions",
    "NativeEngine",
    "NetworkWeights",
    "OverlapAdd",
    "Precision",
    "StateDict",
    "StreamState",
    "check_effort",
    "make_engine",
]
