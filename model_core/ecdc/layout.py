"""The segments of an `.ecdc` payload and their sizes in bytes.

A segment is an optional scale (float32, big-endian), then its codes, packed at a fixed number of
bits or arithmetic-coded, padded to a whole byte. Source: reference `compress.py`.
"""

import math
import struct
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ..config import ModelConfig
from ..errors import BitstreamError
from .header import Header, read_exactly

_SCALE = struct.Struct("!f")
_LM_RANGE_BITS = 24
_LM_MIN_RANGE = 2
_LM_SLACK = 0.99  # rounding may make a probability table slightly wider than its range


@dataclass(frozen=True)
class Segment:
    """A part of the audio coded by itself: samples from `offset` on, in `frames`."""

    offset: int  # samples
    samples: int
    frames: int


def segments(config: ModelConfig, audio_length: int) -> Iterator[Segment]:
    """The segments of `audio_length` samples, one at a time.

    One starts at every stride, as in the reference, even if the previous one already reaches the
    end of the audio.
    """
    length = config.segment_length or audio_length
    stride = config.segment_stride or audio_length
    for offset in range(0, audio_length, stride):
        samples = min(audio_length - offset, length)
        yield Segment(offset, samples, config.frames(samples))


def payload_bytes(config: ModelConfig, header: Header) -> int:
    """Bytes after the header: exact without LM, a lower bound with LM.

    It takes constant time and memory, whatever length the header claims. The bound with LM: the
    coder starts with 24 bits, and even the most likely symbol, which leaves a width of 2 in 2**24
    to each of the others, costs one or two ten-thousandths of a bit.
    """
    total = header.audio_length
    length = config.segment_length or total
    stride = config.segment_stride or total
    count = -(-total // stride)
    full = max(0, (total - length) // stride + 1)
    size = full * segment_bytes(config, header, length)
    for index in range(full, count):  # the segments cut by the end of the audio: at most two
        size += segment_bytes(config, header, total - index * stride)
    return size


def segment_bytes(config: ModelConfig, header: Header, samples: int) -> int:
    """Bytes of one segment of `samples` samples, as `payload_bytes`."""
    symbols = config.frames(samples) * header.num_codebooks
    if header.lm:
        likeliest = 1 - _LM_MIN_RANGE * (config.bins - 1) / 2**_LM_RANGE_BITS
        bits = _LM_RANGE_BITS + math.ceil(_LM_SLACK * (symbols - 1) * -math.log2(likeliest))
    else:
        bits = symbols * config.bits_per_codebook
    return (_SCALE.size if config.normalize else 0) + -(-bits // 8)


def scale_to_bytes(scale: float) -> bytes:
    """A segment's scale, as stored before its codes."""
    return _SCALE.pack(scale)


def read_scale(fo: BinaryIO) -> float:
    """The inverse of `scale_to_bytes`.

    Raises `TruncatedBitstreamError` at the end of the stream and `BitstreamError` for an invalid
    scale.
    """
    (scale,) = _SCALE.unpack(read_exactly(fo, _SCALE.size))
    if not 0 <= scale < math.inf:
        raise BitstreamError(f"a segment's scale is {scale}")
    return float(scale)
