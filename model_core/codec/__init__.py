"""Streams: samples to `.ecdc` bytes and back, in bounded memory.

`entropy` (coding with a language model) and `codec_cache` (codecs of modules) import torch: they
are imported where they are used.
"""

from .chunked import ChunkCompressor
from .codec import Codec, LanguageModel
from .coding import Coding
from .compressing import Compressor, Encoder, Recording
from .corrections import InputWarning
from .decompressing import Decompressor
from .salvaging import Salvaged, SalvagedChunks, salvage_payload
from .seeking import ChunkDecompressor
from .stored import Stored, Stored0, Stored1, open_stored
from .transcoding import transcode
from .work import Runner, Task, Work, iterate_now, run_now

__all__ = [
    "ChunkCompressor",
    "ChunkDecompressor",
    "Codec",
    "Coding",
    "Compressor",
    "Decompressor",
    "Encoder",
    "InputWarning",
    "LanguageModel",
    "Recording",
    "Runner",
    "Salvaged",
    "SalvagedChunks",
    "Stored",
    "Stored0",
    "Stored1",
    "Task",
    "Work",
    "iterate_now",
    "open_stored",
    "run_now",
    "salvage_payload",
    "transcode",
]
