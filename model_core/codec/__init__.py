"""Streams: samples to `.ecdc` bytes and back, in bounded memory.

Streams never call the networks directly: they await the results of their works from a runner,
which the command line runs on the spot and the service's queue runs in batches (see `work`).

What codes with a language model (`lm_steps`) and what takes modules (`codec_cache`) import torch,
and are imported where they are used.
"""

from .codec import Codec
from .compressing import Compressor, Encoder
from .decompressing import Decompressor
from .work import Runner, Task, Work, iterate_now, run_now

__all__ = [
    "Codec",
    "Compressor",
    "Decompressor",
    "Encoder",
    "Runner",
    "Task",
    "Work",
    "iterate_now",
    "run_now",
]
