"""Files that live as long as a request: in memory up to 1 MB, on disk beyond.

Written and read on the event loop: `.ecdc` files are small (ten hours at 24 kbps are 108 MB), a
chunk takes it some tenths of a millisecond, and a thread for each would cost 17 % of the speed of
an upload without a shorter wait for anybody else. (Uploads of audio, up to gigabytes, are written
in threads: `audio.process`.)
"""

import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import contextmanager
from typing import BinaryIO, cast

MEMORY_BYTES = 1 << 20
_CHUNK = 1 << 16  # bytes


@contextmanager
def spool() -> Iterator[BinaryIO]:
    """An empty file that is gone afterwards."""
    with tempfile.SpooledTemporaryFile(max_size=MEMORY_BYTES) as file:
        yield cast(BinaryIO, file)


async def fill(file: BinaryIO, chunks: AsyncIterator[bytes]) -> int:
    """Append `chunks` to `file` and go back to its start; returns its bytes."""
    async for chunk in chunks:
        file.write(chunk)
    size = file.tell()
    file.seek(0)
    return size


async def contents(file: BinaryIO) -> AsyncGenerator[bytes]:
    """The rest of `file`, in chunks."""
    while chunk := file.read(_CHUNK):
        yield chunk
