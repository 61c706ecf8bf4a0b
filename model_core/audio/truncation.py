"""Whether a front-to-back container was cut: what its head announces against what was there.

FFmpeg reads a WAV, an MP3 or an Ogg file that ends early as if it were whole, so their own counts
are looked at: the size of the WAV `data` chunk, the bytes in an MP3's Xing header, the length of
the last Ogg page. Files without such a count (or written to a pipe) are taken as they are.
"""

import struct

_UNKNOWN = 0x7FFF_0000  # WAV writers that cannot seek announce 0 or at least this many bytes
_MP3_SLACK = 2_000  # bytes, a little more than the longest MP3 frame
OGG_PAGE = 65_307  # bytes of the longest Ogg page


def announced_bytes(lead: bytes) -> int | None:
    """Bytes that a file with these first bytes must have at least; None where it does not say."""
    if lead[8:12] == b"WAVE":
        return _wav_bytes(lead)
    return _mp3_bytes(lead)


def _wav_bytes(lead: bytes) -> int | None:
    """The end of the `data` chunk (RF64: by `ds64`, EBU Tech 3306)."""
    order = ">" if lead[:4] == b"RIFX" else "<"
    data64: int | None = None
    offset = 12
    while offset + 8 <= len(lead):
        name = lead[offset : offset + 4]
        (size,) = struct.unpack_from(order + "I", lead, offset + 4)
        offset += 8
        if name == b"ds64" and offset + 16 <= len(lead):
            (data64,) = struct.unpack_from("<Q", lead, offset + 8)
        if name == b"data":
            if data64 is not None:
                return offset + data64
            return offset + size if 0 < size < _UNKNOWN else None
        offset += size + size % 2
    return None


def _mp3_bytes(lead: bytes) -> int | None:
    """Size of the ID3v2 tag plus the bytes field of the Xing (or Info) header, less a frame."""
    offset = 0
    if lead[:3] == b"ID3" and len(lead) > 10:
        a, b, c, d = (byte & 0x7F for byte in lead[6:10])
        offset = 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if lead[5] & 0x10 else 0)
    if len(lead) < offset + 4 or lead[offset] != 0xFF or lead[offset + 1] & 0xE0 != 0xE0:
        return None
    mpeg1, mono = lead[offset + 1] & 0x08, lead[offset + 3] >> 6 == 3
    side = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    tag = offset + 4 + side
    if lead[tag : tag + 4] not in (b"Xing", b"Info") or len(lead) < tag + 16:
        return None
    flags, *fields = struct.unpack_from(">III", lead, tag + 4)
    if not flags & 2:
        return None
    size = int(fields[1] if flags & 1 else fields[0])
    return max(offset + size - _MP3_SLACK, 0)


def ends_in_ogg_page(tail: bytes) -> bool:
    """Whether these last bytes of an Ogg file end in the middle of a page (RFC 3533 section 6)."""
    start = tail.rfind(b"OggS\0")
    if start < 0:
        return False
    if len(tail) < start + 27:
        return True
    segments = tail[start + 26]
    body = sum(tail[start + 27 : start + 27 + segments])
    return len(tail) < start + 27 + segments + body
