"""One chunk: about a second of codes with its place, length and checksum. It decodes alone.

type, number, [samples], length, payload, CRC-32C of `Layout.crc` and all before
0xEC  varint             varint  scales, codes    a chunk that covers as much as a full one
0xED  varint  varint     varint  scales, codes    one that the end of the audio cuts
"""

import math
import struct
from collections.abc import Sequence
from dataclasses import dataclass

from ...errors import BitstreamError
from .checksum import CRC_BYTES, check_crc, crc_of
from .layout import SCALE_BYTES, Layout
from .varint import Buffer, read_varint, varint

FULL_CHUNK = 0xEC
CUT_CHUNK = 0xED
MIN_CHUNK_BYTES = 3 + CRC_BYTES
_MAX_HEAD_BYTES = 25


@dataclass(frozen=True, slots=True)
class Chunk:
    """A part of the audio that is coded by itself."""

    number: int
    start: int
    """Sample that it begins with."""
    samples: int
    """Samples from there to the end of its last segment."""
    scales: tuple[float, ...]
    """Of each segment, float32; empty for a model that does not normalise."""
    codes: bytes
    """As `pack_codes` makes them, or as the language model coded them."""


@dataclass(frozen=True, slots=True)
class ChunkHead:
    """What stands before a chunk's payload."""

    number: int
    samples: int
    head_bytes: int
    size: int
    """Bytes of the whole chunk."""


def chunk_bytes(
    layout: Layout, number: int, samples: int, codes: bytes, scales: Sequence[float] = ()
) -> bytes:
    """A chunk as in the file. Raises `ValueError` for one that no reader would take."""
    if not 0 <= number <= layout.max_number or not 1 <= samples <= layout.full:
        raise ValueError(f"no chunk {number} covers {samples} samples")
    if len(scales) != layout.scales(samples):
        raise ValueError(f"{len(scales)} scales for {layout.scales(samples)} segments")
    least, most = layout.code_bytes(samples)
    if not least <= len(codes) <= most:
        raise ValueError(f"{len(codes)} bytes of codes, not {least} to {most}")
    packed = struct.pack(f"!{len(scales)}f", *scales)
    _read_scales(packed, ValueError)
    payload = packed + codes
    full = samples == layout.full
    head = bytes([FULL_CHUNK if full else CUT_CHUNK]) + varint(number)
    data = head + (b"" if full else varint(samples)) + varint(len(payload)) + payload
    return data + crc_of(data, layout.crc)


def read_head(data: Buffer, at: int, layout: Layout) -> ChunkHead | None:
    """The head of the chunk at `data[at]`; None if `data` ends inside it.

    Raises `BitstreamError` for one that does not fit the header: nothing is read by its claims.
    """
    if at >= len(data):
        return None
    if data[at] not in (FULL_CHUNK, CUT_CHUNK):
        raise BitstreamError(f"a chunk begins with {data[at]:#04x}")
    fields = []
    place = at + 1
    for _ in range(2 if data[at] == FULL_CHUNK else 3):
        found = read_varint(data, place)
        if found is None:
            return None
        value, place = found
        fields.append(value)
    number, length = fields[0], fields[-1]
    samples = layout.full if data[at] == FULL_CHUNK else fields[1]
    if number > layout.max_number:
        raise BitstreamError(f"a chunk's number is {number}")
    if data[at] == CUT_CHUNK and not 1 <= samples < layout.full:
        raise BitstreamError(f"a chunk that is cut covers {samples} samples")
    scale_bytes = SCALE_BYTES * layout.scales(samples)
    least, most = layout.code_bytes(samples)
    if not least <= length - scale_bytes <= most:
        raise BitstreamError(f"chunk {number} cannot be {length} bytes long")
    head_bytes = place - at
    return ChunkHead(number, samples, head_bytes, head_bytes + length + CRC_BYTES)


def read_chunk(data: Buffer, head: ChunkHead, layout: Layout) -> tuple[Chunk, bytes]:
    """The chunk that is `data`, all of it, and its checksum. Raises `BitstreamError`."""
    crc = check_crc(data, f"chunk {head.number}", layout.crc)
    codes_at = head.head_bytes + SCALE_BYTES * layout.scales(head.samples)
    scales = _read_scales(bytes(data[head.head_bytes : codes_at]), BitstreamError)
    codes = bytes(data[codes_at:-CRC_BYTES])
    return Chunk(head.number, head.number * layout.stride, head.samples, scales, codes), crc


def max_chunk_bytes(layout: Layout) -> int:
    """Bytes that no chunk exceeds."""
    most = layout.code_bytes(layout.full)[1]
    return _MAX_HEAD_BYTES + SCALE_BYTES * layout.scales(layout.full) + most + CRC_BYTES


def _read_scales(data: bytes, error: type[Exception]) -> tuple[float, ...]:
    scales: tuple[float, ...] = struct.unpack(f"!{len(data) // SCALE_BYTES}f", data)
    if not all(0 <= scale < math.inf for scale in scales):  # so that NaN does not pass
        raise error("the scale of a segment is negative or not finite")
    return scales
