"""The upload as a file that grows: the server writes it, a child reads it.

The body goes to a temporary file without a name. The child has its own read-only descriptor. The
size of the file says how much is there; a byte on the child's socket says that there is more
(`MORE`) or that this is all (`ALL`). So the child begins while the rest still arrives.
"""

import os
import tempfile
from collections.abc import Callable
from pathlib import Path

MORE = b"."
ALL = b"$"


class GrowingFileWriter:
    """The writing side. Its calls block (disk): make them from a thread."""

    def __init__(self, folder: Path | None) -> None:
        self._write, name = tempfile.mkstemp(prefix="encodec-", dir=folder)
        try:
            self.reader = os.open(name, os.O_RDONLY | os.O_CLOEXEC)
        except OSError:
            os.close(self._write)
            raise
        finally:
            Path(name).unlink()

    def append(self, data: bytes) -> None:
        """Writes `data` after what is there. Raises `OSError` when the disk is full."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._write, view) :]

    def close(self) -> None:
        """Gives the disk space back as soon as the child is gone too; may be called twice."""
        if self._write >= 0:
            os.close(self._write)
            os.close(self.reader)
            self._write = -1


class GrowingFileReader:
    """The reading side: a seekable binary file whose `read` waits for bytes still to come.

    `receive()` waits for the next words of the server and returns them, or nothing when the server
    is gone. `size` is the length of the whole in bytes where it is known from the start
    (Content-Length); otherwise a seek from the end waits for the whole upload. Raises `EOFError`
    when the server is gone before the end.
    """

    def __init__(self, fd: int, receive: Callable[[], bytes], size: int | None = None) -> None:
        self._fd = fd
        self._receive = receive
        self._total = size
        self._available = 0
        self._complete = False
        self._position = 0

    def seekable(self) -> bool:
        """Always: it waits for what is not there yet."""
        return True

    def tell(self) -> int:
        """Bytes before the next one."""
        return self._position

    def read(self, size: int, /) -> bytes:
        """Between 1 and `size` bytes, waiting for them; none at the end of the upload."""
        while self._position >= self._available and not self._complete:
            self._available = os.fstat(self._fd).st_size
            if self._position >= self._available:
                self._wait()
        count = min(size, self._available - self._position)
        if count <= 0:
            return b""
        data = os.pread(self._fd, count, self._position)
        self._position += len(data)
        return data

    def seek(self, offset: int, whence: int = os.SEEK_SET, /) -> int:
        """Moves; only a seek from the end may have to wait. Raises `OSError` before the start."""
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
        return self._available

    def _wait(self) -> None:
        words = self._receive()
        if not words:
            raise EOFError("the server closed the connection")
        self._complete = ALL in words
        self._available = os.fstat(self._fd).st_size
