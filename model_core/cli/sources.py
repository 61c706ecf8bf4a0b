"""Where the bytes come from: a file, or stdin."""

import shutil
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import BinaryIO, cast

from .errors import CommandError
from .plan import ECDC, STDIO

_MAGIC = b"ECDC"
_IN_MEMORY = 8 << 20  # bytes of a pipe that are kept without a file


@contextmanager
def open_source(source: str) -> Iterator[BinaryIO]:
    """A seekable file; a pipe is copied to a temporary one first.

    Raises `CommandError` where there is no such input, and `OSError`.
    """
    if source != STDIO:
        if not Path(source).exists():
            raise CommandError("no such input file")
        with Path(source).open("rb") as file:
            if file.seekable():
                yield file
                return
            with _spooled(file) as spool:
                yield spool
        return
    if sys.stdin is None:
        raise CommandError("stdin is closed")
    with _spooled(sys.stdin.buffer) as spool:
        yield spool


def is_compressed(source: str, file: BinaryIO) -> bool:
    """Whether to decompress: by the name of a file, by the first bytes of stdin."""
    if source != STDIO:
        return Path(source).suffix.lower() == ECDC
    start = file.read(len(_MAGIC))
    file.seek(0)
    return start == _MAGIC


@contextmanager
def _spooled(pipe: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        shutil.copyfileobj(pipe, spool)
        spool.seek(0)
        yield cast(BinaryIO, spool)
