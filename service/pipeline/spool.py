"""Files that live as long as a request: in memory up to 1 MB, on disk beyond.

Written and read on the event loop: `.ecdc` files are small (ten hours at 24 kbps are 108 MB), a
chunk takes it some tenths of a millisecond, and a thread for each would cost 17 % of the speed of
an upload without a shorter wait for anybody else. (Uploads of audio, up to gigabytes, are written
in threads: `decoder`.)
"""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

MEMORY_BYTES = 1 << 20
_CHUNK = 1 << 16  # bytes


def check_spool(folder: Path | None) -> None:
    """Raises `ValueError` where no file can be written."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"uploads cannot be kept in {folder}: {error.strerror}") from error


@contextmanager
def spool(folder: Path | None = None) -> Iterator[BinaryIO]:
    """An empty file that is gone afterwards."""
    with tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=str(folder) if folder else None) as file:
        yield cast(BinaryIO, file)


async def fill(file: BinaryIO, chunks: AsyncIterator[bytes], most: int | None = None) -> int:
    """Append `chunks` to `file` and go back to its start; returns how many bytes there were. Only
    the first `most` in the file are kept."""
    size = kept = file.tell()
    async for chunk in chunks:
        size += len(chunk)
        kept += file.write(chunk if most is None else chunk[: max(0, most - kept)])
    file.seek(0)
    return size


async def contents(file: BinaryIO) -> AsyncGenerator[bytes]:
    """The rest of `file`, in chunks."""
    while chunk := file.read(_CHUNK):
        yield chunk


def in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each costs a switch of threads and a chunk of HTTP."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= _CHUNK:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
