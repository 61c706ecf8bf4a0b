"""Streams: samples to `.ecdc` bytes and back, in bounded memory.

Streams never call the networks directly: they await the results of their works from a runner,
which the command line runs on the spot and the service's queue runs in batches (see `work`).
"""

from .codec import Codec
from .codec_cache import CodecCache
from .compressing import Compressor, Encoder
from .decompressing import Decompressor
from .work import Runner, Task, Work, iterate_now, run_now

__all__ = [
    "Codec",
    "CodecCache",
    "Compressor",
    "Decompressor",
    "Encoder",
    "Runner",
    "Task",
    "Work",
    "iterate_now",
    "run_now",
]
