"""The upload as a file that grows: written by the server, read by the decoding child.

The body goes to a temporary file without a name. The child has its own read-only descriptor: the
size of the file tells what is there, and a byte on its socket that there is more (`MORE`) or that
this is all (`ALL`), so it can begin while the rest still arrives.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

MORE = b"."
ALL = b"$"


class Spool:
    """The writing side. Blocking (disk), so call it from a thread."""

    def __init__(self, folder: Path | None) -> None:
        self._write, name = tempfile.mkstemp(prefix="encodec-", dir=folder)
        try:
            self.reader = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._write)
            raise
        finally:
            Path(name).unlink()
        self.size = 0

    def append(self, data: bytes) -> None:
        """Writes `data` after what is there. Raises `OSError` when the disk is full."""
        view = memoryview(data)
        while view:
            written = os.write(self._write, view)
            view = view[written:]
            self.size += written

    def close(self) -> None:
        """Gives the disk space back as soon as the child is gone too; may be called twice."""
        if self._write >= 0:
            os.close(self._write)
            os.close(self.reader)
            self._write = -1


class GrowingFile:
    """The reading side: a seekable binary file whose `read` waits for bytes still to come.

    `receive()` waits for what the server says and gives it; none when the server is gone. `size`
    is the length of the whole where it is known from the start (Content-Length); otherwise a seek
    from the end waits for the whole upload. `EOFError` when the server is gone before the end.
    """

    def __init__(self, fd: int, receive: Callable[[], bytes], size: int | None = None) -> None:
        self._fd = fd
        self._receive = receive
        self._total = size
        self._there = 0
        self._complete = False
        self._position = 0

    def seekable(self) -> bool:
        """Always: what is not there yet is waited for."""
        return True

    def tell(self) -> int:
        """Bytes before the next one."""
        return self._position

    def read(self, size: int, /) -> bytes:
        """Between 1 and `size` bytes, waiting for them; none at the end of the upload."""
        while self._position >= self._there and not self._complete:
            self._there = os.fstat(self._fd).st_size
            if self._position >= self._there:
                self._wait()
        count = min(size, self._there - self._position)
        if count <= 0:
            return b""
        data = os.pread(self._fd, count, self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves; only a seek from the end may have to wait."""
        if whence == os.SEEK_CUR:
            offset += self._position
        elif whence == os.SEEK_END:
            offset += self._length()
        if offset < 0:
            raise OSError("seek before the beginning")
        self._position = offset
        return offset

    def _length(self) -> int:
        while not self._complete:
            if self._total is not None:
                return self._total
            self._wait()
        return self._there

    def _wait(self) -> None:
        said = self._receive()
        if not said:
            raise EOFError("the server closed the connection")
        self._complete = ALL in said
        self._there = os.fstat(self._fd).st_size
