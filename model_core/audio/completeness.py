"""The length that a file declares, to compare with the bytes received.

FFmpeg reads many truncated files as if they were complete. So the sizes in the container's header
are compared with the bytes received: the audio chunk of WAV, AIFF and CAF, the whole file of AVI
and Matroska, the Xing header of an MP3, and the last page of an Ogg file.

A writer that cannot return to its header (it writes to a pipe, or is stopped) leaves a placeholder
there. The audio then lasts to the end of the file, as it does when the header gives no size. An Ogg
file that ends with a whole page counts as complete, even without the mark of the last page:
recordings of live streams never have it. Durations are not compared: in a Matroska file the writer
may have guessed it, or it may count from a start that the audio does not have.
"""

import struct
from collections.abc import Iterator
from dataclasses import dataclass

OPEN = 0
"""The declared end of a file whose audio lasts to the end of the file."""
OGG_PAGE = 65_307  # bytes of the longest Ogg page

# A placeholder is the largest size that fits the field (2³², 2³¹, in AIFF also 127 · 2²⁴), minus a
# header and rounded down to whole blocks of samples; some writers add their header instead.
_LARGEST = (0x7F00_0000, 1 << 31, 1 << 32)
_BELOW, _ABOVE = 1 << 16, 1 << 8

_SEGMENT = b"\x18\x53\x80\x67"  # id of Matroska's outermost element (RFC 9559, 5.1)
_MP3_DELAY = 529  # samples, the delay of a decoder
_MP3_SLACK = 2_000  # bytes, a little more than the longest MP3 frame
_FRAMES, _BYTES, _CONTENTS, _QUALITY = 1, 2, 4, 8  # flags: the fields of a Xing header


def is_wav(head: bytes) -> bool:
    """Whether a file that begins so is a WAV, of any kind."""
    return head[8:12] == b"WAVE" and head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64")


def declared_end(lead: bytes) -> int | None:
    """The least number of bytes in a file with these first bytes, or `OPEN`.

    None for other containers, and if the audio begins after `lead`.
    """
    match lead[:4], lead[8:12]:
        case ((b"RIFF" | b"RF64" | b"BW64"), b"WAVE"):
            return _chunk_end(lead, 12, "<I", b"data")
        case b"RIFX", b"WAVE":
            return _chunk_end(lead, 12, ">I", b"data")
        case b"FORM", (b"AIFF" | b"AIFC"):
            return _chunk_end(lead, 12, ">I", b"SSND", before_samples=8)
        case b"caff", _:
            return _chunk_end(lead, 8, ">Q", b"data", before_samples=4)
        case b"RIFF", b"AVI ":
            size = int.from_bytes(lead[4:8], "little")  # some writers count these 8 bytes too
            return OPEN if _is_placeholder(size) else size
        case b"\x1aE\xdf\xa3", _:
            return _segment_end(lead)
    xing = xing_header(lead)
    return None if xing is None else xing.end


def _is_placeholder(size: int) -> bool:
    """Whether a writer stores this size when it does not know it; -1 is the one in 64 bits."""
    near = (largest - _BELOW <= size <= largest + _ABOVE for largest in _LARGEST)
    return not 0 < size < 1 << 63 or any(near)


def _chunk_end(
    lead: bytes, offset: int, size_format: str, audio: bytes, before_samples: int = 0
) -> int | None:
    """End of the chunk named `audio`, whose samples begin `before_samples` bytes in.

    The first chunk is at `offset`.
    """
    end = 0  # of the outermost chunk, of a WAV or an AIFF; CAF has none
    if size_format != ">Q":
        end = 8 + struct.unpack_from(size_format, lead, 4)[0]
    in_ds64: int | None = None  # the true size in an RF64 file (EBU Tech 3306)
    for name, start, size in chunks(lead, offset, size_format):
        if name == b"ds64" and lead[:4] != b"RIFF" and len(lead) >= start + 16:
            outermost, in_ds64 = struct.unpack_from("<QQ", lead, start)
            end = 8 + outermost
        if name == audio:
            size = size if in_ds64 is None else in_ds64
            rest = start + size
            empty = size == before_samples and _only_chunks_follow(lead, size_format, rest, end)
            unknown = _is_placeholder(size - before_samples) and not empty
            return OPEN if unknown else start + size
    return None


def chunks(lead: bytes, offset: int, size_format: str) -> Iterator[tuple[bytes, int, int]]:
    """The name of each chunk from `offset` on, where what it holds begins, and its size in bytes.
    32-bit sizes are padded to even, 64-bit ones are not."""
    width = struct.calcsize(size_format)
    while offset + 4 + width <= len(lead):
        (size,) = struct.unpack_from(size_format, lead, offset + 4)
        start = offset + 4 + width
        yield lead[offset : offset + 4], start, size
        offset = start + size + (size % 2 if width == 4 else 0)


def _only_chunks_follow(lead: bytes, size_format: str, begin: int, end: int) -> bool:
    """Whether from `begin` on there are chunks, which end at `end`."""
    offset = begin
    for _, start, size in chunks(lead, begin, size_format):
        if offset >= end:
            break
        offset = start + size + size % 2
    return offset == end > begin


def _segment_end(lead: bytes) -> int | None:
    """End of Matroska's segment, which follows a small head.

    The zeros before the first 1 of the size are the number of bytes after the first one; if all
    other bits are ones, the size is unknown (RFC 8794 section 4).
    """
    start = lead.find(_SEGMENT) + len(_SEGMENT)
    if start < len(_SEGMENT) or start >= len(lead) or not lead[start]:
        return None
    length = 9 - lead[start].bit_length()
    ones = (1 << 7 * length) - 1
    size = int.from_bytes(lead[start : start + length]) & ones
    return OPEN if size == ones else start + length + size


@dataclass(frozen=True)
class XingHeader:
    """The Xing (or Info) header in the first frame of an MP3; None for a missing value.

    FFmpeg drops `padding` only from seekable files (libavformat/mp3dec.c).
    """

    end: int | None  # the least number of bytes in the file
    padding: range | None  # decoded samples that the encoder added at the end


def id3_bytes(lead: bytes | bytearray) -> int:
    """Bytes of the ID3v2 tag that an MP3 begins with; 0 without one (id3v2.4.0, section 3.1)."""
    if lead[:3] != b"ID3" or len(lead) <= 10:
        return 0
    a, b, c, d = (byte & 0x7F for byte in lead[6:10])
    return 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if lead[5] & 0x10 else 0)


def xing_header(lead: bytes) -> XingHeader | None:
    """The header of an MP3 that begins with `lead`, ID3 tags left out, with the values of the LAME
    tag after it; None without a header."""
    frame = lead[:256]
    if len(frame) < 4 or frame[0] != 0xFF or frame[1] & 0xE0 != 0xE0:
        return None
    mpeg1, mono = bool(frame[1] & 0x08), frame[3] >> 6 == 3
    offset = 4 + ((17 if mono else 32) if mpeg1 else (9 if mono else 17))
    if frame[offset : offset + 4] not in (b"Xing", b"Info"):
        return None
    flags, offset = int.from_bytes(frame[offset + 4 : offset + 8]), offset + 8
    found: dict[int, int] = {}
    for field, width in ((_FRAMES, 4), (_BYTES, 4), (_CONTENTS, 100), (_QUALITY, 4)):
        if flags & field:
            found[field] = int.from_bytes(frame[offset : offset + width])
            offset += width
    end = max(0, found[_BYTES] - _MP3_SLACK) if _BYTES in found else None
    tag = frame[offset : offset + 24]  # ends with the encoder's delay and padding, 12 bits each
    if _FRAMES not in found or len(tag) < 24 or tag[:4] not in (b"LAME", b"Lavf", b"Lavc"):
        return XingHeader(end, None)
    delay, added = divmod(int.from_bytes(tag[21:]), 1 << 12)
    decoded = found[_FRAMES] * (1152 if mpeg1 else 576) - delay
    return XingHeader(end, range(max(0, decoded - added), max(0, decoded - _MP3_DELAY)))


def ends_inside_ogg_page(tail: bytes) -> bool:
    """Whether these last bytes of an Ogg file end in the middle of a page (RFC 3533 section 6)."""
    start = tail.rfind(b"OggS\0")
    if start < 0:
        return False
    if len(tail) < start + 27:
        return True
    segments = tail[start + 26]
    body = sum(tail[start + 27 : start + 27 + segments])
    return len(tail) < start + 27 + segments + body
