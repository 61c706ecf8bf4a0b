"""Whether a container was cut: the bytes that it announces against those that are there.

FFmpeg reads many a file that ends early as if it were whole, so their own counts are looked at:
the sizes of chunks (`chunks`), the bytes in an MP3's Xing header, the length of the last Ogg page.
Files without such a count (or written to a pipe) are taken as they are, and so is an Ogg file that
ends with a whole page: that page is to be marked as the last one, but no recording of a live
stream has the mark, and to refuse those would cost more than the few cuts it would tell. Durations
are not looked at: that of a Matroska file may be the writer's guess, or count from a start that
the audio does not have.
"""

import struct
from dataclasses import dataclass

from model_core.audio.chunks import audio_chunk

_MP3_DELAY = 529  # samples by which a decoder is late
_MP3_SLACK = 2_000  # bytes, a little more than the longest MP3 frame
OGG_PAGE = 65_307  # bytes of the longest Ogg page
_FRAMES, _BYTES, _CONTENTS, _QUALITY = 1, 2, 4, 8  # what a Xing header has, by its flags
_LAME_PADS = 21  # where the LAME tag has the encoder's delay and padding, 12 bits each


def announced_bytes(lead: bytes) -> int | None:
    """Bytes that a file with these first bytes must have at least; None where it does not say."""
    chunk = audio_chunk(lead)
    if chunk is not None:
        return None if chunk.size is None else chunk.start + chunk.size
    return _mp3_bytes(lead)


def _mp3_bytes(lead: bytes) -> int | None:
    """Size of the ID3v2 tag plus the bytes field of the Xing (or Info) header, less a frame."""
    header = _xing(lead)
    if header is None or header.size is None:
        return None
    return max(header.start + header.size - _MP3_SLACK, 0)


def mp3_padding(lead: bytes) -> range | None:
    """Which decoded samples of an MP3 its encoder added at the end; None where it does not say.

    From the Xing header's frames and the LAME tag's delay and padding. FFmpeg drops these samples
    only from files it can seek in (libavformat/mp3dec.c); what another file, appended to this
    one, adds behind them is kept, as there.
    """
    header = _xing(lead)
    if header is None or header.frames is None or len(header.tag) < _LAME_PADS + 3:
        return None
    if header.tag[:4] not in (b"LAME", b"Lavf", b"Lavc"):
        return None
    pads = int.from_bytes(header.tag[_LAME_PADS : _LAME_PADS + 3])
    delay, padding = pads >> 12, pads & 0xFFF
    decoded = header.frames * header.samples_per_frame - delay
    return range(max(0, decoded - padding), max(0, decoded - _MP3_DELAY))


@dataclass(frozen=True)
class _Xing:
    """What the Xing (or Info) header of an MP3 says."""

    start: int  # bytes before the first MPEG frame
    samples_per_frame: int
    frames: int | None
    size: int | None  # bytes from `start` on
    tag: bytes  # the LAME tag, where there is one


def _xing(lead: bytes) -> _Xing | None:
    offset = 0
    if lead[:3] == b"ID3" and len(lead) > 10:
        a, b, c, d = (byte & 0x7F for byte in lead[6:10])
        offset = 10 + (a << 21 | b << 14 | c << 7 | d) + (10 if lead[5] & 0x10 else 0)
    if len(lead) < offset + 4 or lead[offset] != 0xFF or lead[offset + 1] & 0xE0 != 0xE0:
        return None
    mpeg1, mono = lead[offset + 1] & 0x08, lead[offset + 3] >> 6 == 3
    side = (17 if mono else 32) if mpeg1 else (9 if mono else 17)
    position = offset + 4 + side
    if lead[position : position + 4] not in (b"Xing", b"Info") or len(lead) < position + 16:
        return None
    (flags,) = struct.unpack_from(">I", lead, position + 4)
    position += 8
    fields: list[int | None] = []
    for flag in (_FRAMES, _BYTES):
        given = flags & flag and len(lead) >= position + 4
        fields.append(struct.unpack_from(">I", lead, position)[0] if given else None)
        position += 4 if flags & flag else 0
    position += (100 if flags & _CONTENTS else 0) + (4 if flags & _QUALITY else 0)
    tag = lead[position : position + 36]
    return _Xing(offset, 1152 if mpeg1 else 576, fields[0], fields[1], tag)


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
