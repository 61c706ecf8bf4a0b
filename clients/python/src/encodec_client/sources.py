"""What is sent: a file by its name, bytes, an open file, or pieces as they come."""

import os
from collections.abc import AsyncIterable, AsyncIterator, Callable, Iterable, Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from typing import BinaryIO, Self, cast

Source = str | os.PathLike[str] | bytes | bytearray | memoryview | BinaryIO | Iterable[bytes]
"""A path, the bytes themselves, an open binary file, or pieces."""
AsyncSource = Source | AsyncIterable[bytes]

_PIECE = 1 << 16  # bytes


@dataclass(frozen=True)
class Transferred:
    """How far a call is, in bytes; None is what is not known."""

    sent: int = 0
    to_send: int | None = None
    received: int = 0
    to_receive: int | None = None


Progress = Callable[[Transferred], None]
"""Called after each piece that was sent or received."""


class Body:
    """An opened source; a context manager. None is no body at all."""

    def __init__(self, source: AsyncSource | None):
        """Raises `OSError` for a file that cannot be opened."""
        self.exists = source is not None
        self._source = source
        self._file: BinaryIO | None = None
        self._start = 0
        self._own_file = False
        self.replayable = True
        """Whether it can be sent again."""
        self.size: int | None = None
        """Bytes; None where it is not known."""
        if isinstance(source, str | os.PathLike):
            self._file = Path(source).open("rb")  # noqa: SIM115 - `__exit__` closes it
            self._own_file = True
        elif not isinstance(source, bytes | bytearray | memoryview) and hasattr(source, "read"):
            self._file = cast(BinaryIO, source)
        if source is None:
            return
        if isinstance(source, bytes | bytearray | memoryview):
            self.size = memoryview(source).nbytes
        elif self._file is None:
            self.replayable = False
        elif self._file.seekable():
            self._start = self._file.tell()
            self.size = self._file.seek(0, os.SEEK_END) - self._start
        else:
            self.replayable = False

    def pieces(self) -> Iterator[bytes]:
        """From the beginning. Raises `TypeError` for a source that only `AsyncClient` takes."""
        if self._file is not None:
            if self.replayable:
                self._file.seek(self._start)
            while piece := self._file.read(_PIECE):
                yield piece
        elif isinstance(self._source, bytes | bytearray | memoryview):
            view = memoryview(self._source).cast("B")
            for start in range(0, len(view), _PIECE):
                yield bytes(view[start : start + _PIECE])
        elif isinstance(self._source, Iterable):
            yield from cast(Iterable[bytes], self._source)
        elif self.exists:
            raise TypeError("AsyncClient takes asynchronous pieces, Client does not")

    async def async_pieces(self) -> AsyncIterator[bytes]:
        """From the beginning. (Files are read on the event loop, 64 KiB at a time.)"""
        if isinstance(self._source, AsyncIterable):
            async for piece in self._source:
                yield piece
        else:
            for piece in self.pieces():
                yield piece

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        if self._own_file and self._file is not None:
            self._file.close()


class Transfer:
    """Counts the bytes of a call, and tells `progress`."""

    def __init__(self, progress: Progress | None, to_send: int | None):
        self._progress = progress
        self._now = Transferred(to_send=to_send)

    def sent(self, piece: bytes) -> bytes:
        self._moved(replace(self._now, sent=self._now.sent + len(piece)))
        return piece

    def expects(self, length: str | None) -> None:
        """The answer's Content-Length."""
        self._now = replace(self._now, to_receive=None if length is None else int(length))

    def received(self, piece: bytes) -> bytes:
        self._moved(replace(self._now, received=self._now.received + len(piece)))
        return piece

    def _moved(self, now: Transferred) -> None:
        self._now = now
        if self._progress is not None:
            self._progress(now)
