"""What FFmpeg reads from: bytes without a name, seekable only where that is needed.

A container that can be read from front to back (WAV, FLAC, Ogg, MP3, Matroska …) is shown to FFmpeg
as a pipe: no demuxer then looks for a footer, so decoding starts while the bytes still arrive, and
the samples do not depend on where the bytes come from. Anything else (MP4 with its index at the
end, AIFF …) may be seeked in. The object has no `name`, so no format is guessed from an extension.
"""

import errno
import os
from typing import Protocol

from model_core.audio.chunks import audio_chunk
from model_core.audio.truncation import (
    OGG_PAGE,
    announced_bytes,
    ends_in_ogg_page,
    mp3_padding,
)

_SEEK_SIZE = 0x10000  # libavformat/avio.h AVSEEK_SIZE: "how long is it?"
_SEEK_FORCE = 0x20000  # AVSEEK_FORCE: may be ignored
_LEAD = 1 << 20  # first bytes in which the counts are looked for (past a cover picture)
_HEAD = 16  # bytes that tell the container


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
    if head[8:12] == b"WAVE" and head[:4] in (b"RIFF", b"RIFX", b"RF64", b"BW64"):
        return True
    if head[:4] in (b"fLaC", b"OggS", b"riff", b".snd", b"\x1aE\xdf\xa3", b"FLV\x01"):
        return True
    if head[:3] == b"ID3":
        return True
    # MPEG audio and ADTS: 11 or 12 set bits, then a layer and a version that exist
    return len(head) > 1 and head[0] == 0xFF and head[1] & 0xE0 == 0xE0 and head[1] & 0x18 != 0x08


class MediaInput:
    """`file` as PyAV wants it (`read`, `seek`, `tell`, `seekable`), from its current position on.

    `file` stays open when this is dropped: whoever opened it closes it.
    """

    def __init__(self, file: SeekableBytes | PlainBytes) -> None:
        self._file = file
        self._head = b""
        while len(self._head) < _HEAD and (part := file.read(_HEAD - len(self._head))):
            self._head += part
        can_seek = getattr(file, "seekable", None)
        self._seekable = (
            hasattr(file, "seek")
            and (can_seek is None or bool(can_seek()))
            and not streamable(self._head)
        )
        self._ogg = self._head[:4] == b"OggS"
        self._tail = b""
        self._lead = bytearray()
        self._total = 0
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
        if not self._seekable and self._head:
            part, self._head = self._head[:size], self._head[size:]
        else:
            part = self._file.read(size)
        self._note(part)
        return part

    def _note(self, part: bytes) -> None:
        """Remembers of a pipe what `cut` needs: the first bytes, the last page, how many bytes."""
        if self._ogg:
            self._tail = (self._tail + part)[-OGG_PAGE:]
        elif not self._seekable:
            self._lead += part[: _LEAD - len(self._lead)]
        self._total += len(part)

    @property
    def open_ended(self) -> bool:
        """Whether the head says that the audio goes on to the end of the file, wherever it is."""
        chunk = audio_chunk(self._first_bytes())
        return chunk is not None and chunk.size is None

    @property
    def mp3_padding(self) -> range | None:
        """Decoded samples of an MP3 that its encoder added; None where its head does not say."""
        return mp3_padding(bytes(self._lead))

    def cut(self) -> bool:
        """Whether the file ends before the end that it announces.

        For the end of decoding: what FFmpeg has left of a pipe (an index, tags) is read to know.
        """
        if self._ogg:
            return ends_in_ogg_page(self._tail)
        announced = announced_bytes(self._first_bytes())
        if announced is None:
            return False
        if self._seekable:
            return self.seek(0, _SEEK_SIZE) < announced
        while self._total < announced and self.read(_LEAD):
            pass
        return self._total < announced

    def _first_bytes(self) -> bytes:
        """The lead; of a file that FFmpeg jumps in, it is read here."""
        if not self._seekable:
            return bytes(self._lead)
        here = self.tell()
        self.seek(0)
        lead = b""
        while len(lead) < _LEAD and (part := self._file.read(_LEAD - len(lead))):
            lead += part
        self.seek(here)
        return lead

    def seek(self, offset: int, whence: int = os.SEEK_SET) -> int:
        """Moves as a file does, and answers FFmpeg's question for the length (bytes).

        Where a broken file sends it before the beginning, FFmpeg is told so by a negative number.
        """
        file: SeekableBytes = self._file  # type: ignore[assignment]
        whence &= ~_SEEK_FORCE
        if whence == _SEEK_SIZE:
            here = file.tell()
            size = file.seek(0, os.SEEK_END)
            file.seek(here)
            return size - self._start
        if whence == os.SEEK_SET:
            offset += self._start
        try:
            return file.seek(offset, whence) - self._start
        except (OSError, ValueError):
            return -errno.EINVAL

    def tell(self) -> int:
        """Bytes before the next one."""
        file: SeekableBytes = self._file  # type: ignore[assignment]
        return file.tell() - self._start
