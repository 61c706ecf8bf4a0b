"""Where the audio of a file lies, by the sizes that its own head gives.

WAV, AIFF, AVI, CAF and Matroska are chunks in chunks, each with its size before it. A writer that
cannot go back to its head (to a pipe, or one that was stopped) leaves a placeholder there instead:
the audio then lasts to the end of the file.
"""

import struct
from collections.abc import Callable, Iterator
from dataclasses import dataclass

_SEGMENT = 0x18538067  # id of the element that holds all else (RFC 9559 section 5.1)


@dataclass(frozen=True)
class Chunk:
    """Bytes from `start` on; `size` is None where they go to the end of the file."""

    start: int
    size: int | None


def audio_chunk(lead: bytes) -> Chunk | None:
    """The chunk that holds the audio of a file with these first bytes.

    None for other containers, and where it begins behind these bytes.
    """
    match lead[:4], lead[8:12]:
        case ((b"RIFF" | b"RIFX" | b"RF64" | b"BW64"), b"WAVE"):
            return _wav(lead)
        case b"FORM", (b"AIFF" | b"AIFC"):
            return _first(_chunks(lead, ">I", 12), b"SSND", _size32)
        case b"RIFF", b"AVI ":
            # The RIFF chunk as a whole. Some writers count its own 8 bytes, others do not.
            return Chunk(0, _size32(int.from_bytes(lead[4:8], "little")))
        case b"caff", _:
            return _first(_chunks(lead, ">Q", 8), b"data", _caf_size)
        case b"\x1aE\xdf\xa3", _:
            return _segment(lead)
    return None


def _wav(lead: bytes) -> Chunk | None:
    """The chunk `data`; in an RF64 its size stands in `ds64` (EBU Tech 3306)."""
    order = ">" if lead[:4] == b"RIFX" else "<"
    long: int | None = None
    for name, start, size in _chunks(lead, order + "I", 12):
        if name == b"ds64" and len(lead) >= start + 16:
            (long,) = struct.unpack_from("<Q", lead, start + 8)
        if name == b"data":
            return Chunk(start, _size32(size) if long is None else _size64(long))
    return None


def _chunks(lead: bytes, size_format: str, offset: int) -> Iterator[tuple[bytes, int, int]]:
    """Name, start and size of each chunk; 32-bit sizes are padded to even, 64-bit ones are not."""
    width = struct.calcsize(size_format)
    while offset + 4 + width <= len(lead):
        name = lead[offset : offset + 4]
        (size,) = struct.unpack_from(size_format, lead, offset + 4)
        offset += 4 + width
        yield name, offset, size
        offset += size + (size % 2 if width == 4 else 0)


def _first(
    chunks: Iterator[tuple[bytes, int, int]], wanted: bytes, told: Callable[[int], int | None]
) -> Chunk | None:
    return next((Chunk(at, told(size)) for name, at, size in chunks if name == wanted), None)


def _size32(size: int) -> int | None:
    """None for what writers put where they do not know: 0, all ones less a head (FFmpeg), about
    2³¹ (arecord, espeak), or 0x7FFFF000 or, in AIFF, 0x7F000000 less what is no whole block of
    samples (sox)."""
    unknown = (
        size == 0
        or size >= 0xFFFF_0000
        or 0x7FFF_0000 <= size <= 0x8000_0100
        or 0x7EFF_FF00 <= size <= 0x7F00_0008
    )
    return None if unknown else size


def _size64(size: int) -> int | None:
    """None for 0 and for what is negative with a sign: CAF's -1, or all ones."""
    return size if 0 < size < 1 << 63 else None


def _caf_size(size: int) -> int | None:
    """As `_size64`; libsndfile, and so sox, leaves the four bytes before the samples."""
    return None if size <= 4 else _size64(size)


def _segment(lead: bytes) -> Chunk | None:
    """Matroska's segment: all of the file but its head. All ones: of unknown size."""
    offset = 0
    while (head := _element(lead, offset)) is not None:
        name, chunk = head
        if name == _SEGMENT:
            return chunk
        if chunk.size is None:
            return None
        offset = chunk.start + chunk.size
    return None


def _element(lead: bytes, offset: int) -> tuple[int, Chunk] | None:
    """An EBML element's id and extent (RFC 8794 sections 4 and 5): the zeros before the first 1
    of either number say how many bytes follow its first."""
    numbers = []
    for _ in range(2):
        if offset >= len(lead) or not lead[offset]:
            return None
        length = 9 - lead[offset].bit_length()
        number = int.from_bytes(lead[offset : offset + length])
        offset += length
        numbers.append((number, 1 << 7 * length))
    if offset > len(lead):
        return None
    (name, _), (size, marker) = numbers
    return name, Chunk(offset, None if size == 2 * marker - 1 else size - marker)
