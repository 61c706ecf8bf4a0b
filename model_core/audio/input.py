"""The input of FFmpeg: bytes without a name, seekable only if the container needs it.

A container that can be read from front to back (WAV, FLAC, Ogg, MP3, Matroska …) is a pipe for
FFmpeg: no demuxer looks for a footer, so decoding starts while the bytes still arrive, and the
samples do not depend on the source of the bytes. FFmpeg may seek in all others (MP4 with its index
at the end, AIFF …). The object has no `name`, so FFmpeg guesses no format from an extension.
"""

import errno
import os
from typing import Protocol, runtime_checkable

from model_core.audio.completeness import (
    OGG_PAGE,
    OPEN,
    chunks,
    declared_end,
    ends_inside_ogg_page,
    id3_bytes,
    is_wav,
    xing_header,
)

_LEAD = 1 << 20  # first bytes, searched for sizes (which may follow a cover picture)
_HEAD = 16  # bytes that identify the container
_EXTENSIBLE = b"\xfe\xff"  # the format tag of a WAV that says which bits are valid
_PCM = bytes.fromhex("0100000000001000800000aa00389b71")  # its integer samples
_NO_SAMPLES = (b"data\0\0\0\0", b"data\xff\xff\xff\xff")  # the second in an RF64
_WAV_HEAD = 4096  # bytes searched beforehand for the size of a WAV's samples


class PlainBytes(Protocol):
    """Bytes that can be read once. `read` may return fewer bytes than requested."""

    def read(self, size: int, /) -> bytes: ...


@runtime_checkable
class SeekableBytes(PlainBytes, Protocol):
    """The methods needed of a binary file."""

    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


def _streamable(head: bytes) -> bool:
    """Whether the container with these first 16 bytes can be read from front to back."""
    if is_wav(head) or head[:3] == b"ID3":
        return True
    if head[:4] in (b"fLaC", b"OggS", b"riff", b".snd", b"\x1aE\xdf\xa3", b"FLV\x01"):
        return True
    # MPEG audio and ADTS: 11 or 12 set bits, then a layer and a version that exist
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08


def _with_all_bits(head: bytes) -> bytes:
    """The head of a WAV as if every bit that is stored of a sample were valid. Those that are not
    are the lowest ones, and zeros (WAVEFORMATEXTENSIBLE), but FFmpeg takes the samples to be as
    narrow as their valid bits."""
    for name, start, _ in chunks(head, 12, "<I"):
        form = head[start : start + 40]
        if name == b"fmt " and form[:2] == _EXTENSIBLE and form[24:] == _PCM:
            return head[: start + 18] + form[14:16] + head[start + 20 :]
    return head


class MediaInput:
    """`file` with PyAV's interface (`read`, `seek`, `tell`, `seekable`), from its current position.

    It never closes `file`.
    """

    def __init__(self, file: SeekableBytes | PlainBytes) -> None:
        self._file = file
        self._head = _read_up_to(file, _HEAD)  # what FFmpeg has not yet read of it
        self.empty = not self._head
        self.is_ecdc = self._head[:4] == b"ECDC"
        self.is_wav = is_wav(self._head)
        self._is_ogg = self._head[:4] == b"OggS"
        self._seekable: SeekableBytes | None = None
        can_seek = getattr(file, "seekable", lambda: True)
        if isinstance(file, SeekableBytes) and can_seek() and not _streamable(self._head):
            self._seekable = file
            self._start = file.tell() - len(self._head)
            file.seek(self._start)
        if self.is_wav:
            self._head += _read_up_to(file, _WAV_HEAD - _HEAD)
            self._head = _with_all_bits(self._head)
        end = declared_end(self._head) if self.is_wav else None
        self.is_open_wav = end == OPEN
        """A WAV whose samples last to the end of the file, whatever the size in its head."""
        self.is_empty_wav = bool(end) and self._head[:end].endswith(_NO_SAMPLES)
        """A WAV without samples, behind which more follows: FFmpeg would take that for them."""
        # For a pipe: the number of bytes read, the first ones, and the last ones of an Ogg file.
        self._total = 0
        self._lead = bytearray()
        self._lead_at = self._skipping = 0  # the lead begins after ID3 tags, which may be long
        self._tail = b""

    def seekable(self) -> bool:
        """Whether FFmpeg may seek."""
        return self._seekable is not None

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        if self._seekable is not None:
            return self._seekable.read(size)
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
        else:
            part = self._file.read(size)
        self._total += len(part)
        if self._is_ogg:
            self._tail = (self._tail + part)[-OGG_PAGE:]
        else:
            self._keep(part)
        return part

    def _keep(self, part: bytes) -> None:
        """Adds to the lead."""
        if len(self._lead) == _LEAD:
            return
        skipped = min(self._skipping, len(part))
        self._skipping -= skipped
        self._lead += part[skipped:]
        while tag := id3_bytes(self._lead):
            self._lead_at += tag
            self._skipping = max(0, tag - len(self._lead))
            del self._lead[:tag]
        del self._lead[_LEAD:]

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Seeks like a file; returns a negative number if a broken file points before its start.

        (PyAV itself answers when FFmpeg asks for the length.)
        """
        if self._seekable is None:
            return -errno.ESPIPE
        try:
            if whence == os.SEEK_SET:
                offset += self._start
            return self._seekable.seek(offset, whence) - self._start
        except (OSError, ValueError):
            return -errno.EINVAL

    def tell(self) -> int:
        """The position, in bytes."""
        return self._total if self._seekable is None else self._seekable.tell() - self._start

    @property
    def mp3_padding(self) -> range | None:
        """The decoded samples that an MP3's encoder added; None if its header does not say."""
        xing = xing_header(bytes(self._lead))
        return None if xing is None else xing.padding

    @property
    def open_ended(self) -> bool:
        """Whether, by its header, the audio lasts to the end of the file."""
        return declared_end(self._first_bytes()) == OPEN

    def has_more(self) -> bool:
        """Whether FFmpeg has stopped long before the end of the file. Call it after decoding."""
        if self._seekable is None:
            return bool(self.read(1))
        return self.tell() < self.seek(0, os.SEEK_END)

    def is_cut(self) -> bool:
        """Whether the file ends before its declared end.

        Call it after decoding: it reads what FFmpeg has left of a pipe (an index, tags).
        """
        if self._is_ogg:
            return ends_inside_ogg_page(self._tail)
        end = declared_end(self._first_bytes()) or OPEN
        if end != OPEN:
            end += self._lead_at
        if self._seekable is not None:
            return self.seek(0, os.SEEK_END) < end
        while self._total < end and self.read(_LEAD):
            pass
        return self._total < end

    def _first_bytes(self) -> bytes:
        """The lead; for a seekable file, it is read here."""
        if self._seekable is None:
            return bytes(self._lead)
        here = self.tell()
        self.seek(0)
        lead = _read_up_to(self._seekable, _LEAD)
        self.seek(here)
        return lead


def _read_up_to(file: PlainBytes, size: int) -> bytes:
    """The next `size` bytes, or fewer at the end of the file."""
    data = b""
    while len(data) < size and (part := file.read(size - len(data))):
        data += part
    return data
