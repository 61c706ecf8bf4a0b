"""Streams: samples to `.ecdc` bytes and back, in bounded memory.

Streams never call the networks directly: they await the results of their works from a runner,
which the command line runs on the spot and the service's queue runs in batches (see `work`).
"""

from .codec import Codec
from .compressing import Compressor, Encoder
from .decompressing import Decompressor
from .warm import WarmCodecs
from .work import Runner, Task, Work, iterate_now, run_now

__all__ = [
    "Codec",
    "Compressor",
    "Decompressor",
    "Encoder",
    "Runner",
    "Task",
    "WarmCodecs",
    "Work",
    "iterate_now",
    "run_now",
]
