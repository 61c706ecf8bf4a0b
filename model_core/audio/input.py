"""What FFmpeg reads from: bytes without a name, seekable only where that is needed.

A container that can be read from front to back (WAV, FLAC, Ogg, MP3, Matroska …) is shown to FFmpeg
as a pipe: no demuxer then looks for a footer, so decoding starts while the bytes still arrive, and
the samples do not depend on where the bytes come from. FFmpeg may seek in anything else (MP4 with
its index at the end, AIFF …). The object has no `name`, so no format is guessed from an extension.
"""

import errno
import os
from typing import Protocol

from model_core.audio.completeness import (
    OGG_PAGE,
    OPEN,
    declared_end,
    ends_inside_ogg_page,
    xing_header,
)

_LEAD = 1 << 20  # first bytes in which sizes are looked for (past a cover picture)
_HEAD = 16  # bytes that tell the container
_WAV_HEAD = 4096  # bytes in which the size of a WAV's samples is looked for beforehand


class SeekableBytes(Protocol):
    """The part of a binary file that is needed; `read` may return fewer bytes than asked."""

    def read(self, size: int, /) -> bytes: ...
    def seek(self, offset: int, whence: int = 0, /) -> int: ...
    def tell(self) -> int: ...


class PlainBytes(Protocol):
    """A pipe: bytes that can be read once."""

    def read(self, size: int, /) -> bytes: ...


def streamable(head: bytes) -> bool:
    """Whether the container that begins with these 16 bytes is read from front to back."""
    if _is_wav(head):
        return True
    if head[:4] in (b"fLaC", b"OggS", b"riff", b".snd", b"\x1aE\xdf\xa3", b"FLV\x01"):
        return True
    if head[:3] == b"ID3":
        return True
    # MPEG audio and ADTS: 11 or 12 set bits, then a layer and a version that exist
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08


def _is_wav(head: bytes) -> bool:
    return head[8:12] == b"WAVE" and head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64")


class MediaInput:
    """`file` as PyAV wants it (`read`, `seek`, `tell`, `seekable`), from its current position on.

    `file` stays open when this is dropped: whoever opened it closes it.
    """

    def __init__(self, file: SeekableBytes | PlainBytes) -> None:
        self._file = file
        self._head = _read_up_to(file, _HEAD)
        can_seek = getattr(file, "seekable", None)
        self._seekable = (
            hasattr(file, "seek")
            and (can_seek is None or bool(can_seek()))
            and not streamable(self._head)
        )
        self.is_wav = _is_wav(self._head)
        if self.is_wav:
            self._head += _read_up_to(file, _WAV_HEAD - _HEAD)
        self.is_open_wav = self.is_wav and declared_end(self._head) == OPEN
        """A WAV whose samples last to the end of the file, whatever the size in its head."""
        self._is_ogg = self._head[:4] == b"OggS"
        # Of a pipe: how many bytes came, the first of them, and the last of an Ogg file.
        self._total = 0
        self._lead = bytearray()
        self._tail = b""
        self._start = 0
        if self._seekable:
            self._start = file.tell() - len(self._head)  # type: ignore[union-attr]
            file.seek(self._start)  # type: ignore[union-attr]

    @property
    def empty(self) -> bool:
        """No byte at all."""
        return not self._head

    def seekable(self) -> bool:
        """Whether FFmpeg may jump."""
        return self._seekable

    def read(self, size: int) -> bytes:
        """Up to `size` bytes; none at the end."""
        if self._seekable:
            return self._file.read(size)
        if self._head:
            part, self._head = self._head[:size], self._head[size:]
        else:
            part = self._file.read(size)
        self._total += len(part)
        if self._is_ogg:
            self._tail = (self._tail + part)[-OGG_PAGE:]
        else:
            self._lead += part[: _LEAD - len(self._lead)]
        return part

    @property
    def open_ended(self) -> bool:
        """Whether the head says that the audio goes on to the end of the file, wherever it is."""
        return declared_end(self._first_bytes()) == OPEN

    @property
    def mp3_padding(self) -> range | None:
        """Decoded samples of an MP3 that its encoder added; None where its head does not say."""
        xing = xing_header(bytes(self._lead))
        return None if xing is None else xing.padding

    def is_cut(self) -> bool:
        """Whether the file ends before the end that it declares.

        For the end of decoding: what FFmpeg has left of a pipe (an index, tags) is read to know.
        """
        if self._is_ogg:
            return ends_inside_ogg_page(self._tail)
        end = declared_end(self._first_bytes()) or OPEN
        if self._seekable:
            return self.seek(0, os.SEEK_END) < end
        while self._total < end and self.read(_LEAD):
            pass
        return self._total < end

    def _first_bytes(self) -> bytes:
        """The lead; of a file that FFmpeg jumps in, it is read here."""
        if not self._seekable:
            return bytes(self._lead)
        here = self.tell()
        self.seek(0)
        lead = _read_up_to(self._file, _LEAD)
        self.seek(here)
        return lead

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves as a file does; a negative number where a broken file leads before its beginning.

        (PyAV answers FFmpeg's question for the length itself.)
        """
        file: SeekableBytes = self._file  # type: ignore[assignment]
        try:
            if whence == os.SEEK_SET:
                return file.seek(offset + self._start) - self._start
            return file.seek(offset, whence) - self._start
        except (OSError, ValueError):
            return -errno.EINVAL

    def tell(self) -> int:
        """Bytes before the next one."""
        file: SeekableBytes = self._file  # type: ignore[assignment]
        return file.tell() - self._start


def _read_up_to(file: SeekableBytes | PlainBytes, size: int) -> bytes:
    """The next `size` bytes, or fewer where the file ends before."""
    data = b""
    while len(data) < size and (part := file.read(size - len(data))):
        data += part
    return data
