"""Streams: samples to `.ecdc` bytes and back, in bounded memory.

The networks are never called directly: a stream says which work it needs next and is handed the
results, so that the command line can run the work at once and the service can send it through
its queue (see `work`).
"""

from .codec import Codec
from .codec_cache import CodecCache
from .compressing import Compressor, Encoder
from .decompressing import Decompressor
from .work import InOrder, Steps, Task, Work, run_steps

__all__ = [
    "Codec",
    "CodecCache",
    "Compressor",
    "Decompressor",
    "Encoder",
    "InOrder",
    "Steps",
    "Task",
    "Work",
    "run_steps",
]
