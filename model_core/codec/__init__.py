"""Streams: samples to `.ecdc` bytes and back, in bounded memory.

The networks are never called directly: a stream says which work it needs next and is handed the
results, so that the command line can run the work at once and the service can send it through
its queue (see `work`).
"""

from .codec import Codec
from .compressing import Compressor, Encoder
from .decompressing import Decompressor
from .warm import WarmCodecs
from .work import InOrder, Steps, Task, Work, run_steps

__all__ = [
    "Codec",
    "Compressor",
    "Decompressor",
    "Encoder",
    "InOrder",
    "Steps",
    "Task",
    "WarmCodecs",
    "Work",
    "run_steps",
]
