"""Input from a file or stdin; output to stdout or a file that appears whole or not at all."""

import atexit
import os
import secrets
import shutil
import stat
import sys
import tempfile
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO, cast

from ..process import raise_if_ended
from .plan import STDIO, CommandError
from .suffixes import ECDC

_MAGIC = b"ECDC"
_IN_MEMORY = 8 << 20  # bytes of a pipe that are kept without a file


@contextmanager
def open_source(source: str) -> Iterator[BinaryIO]:
    """A seekable file; a pipe is copied to a temporary one first.

    Raises `CommandError` where there is no such input, and `OSError`.
    """
    if source == STDIO:
        if sys.stdin is None:
            raise CommandError("stdin is closed")
        with _spooled(sys.stdin.buffer) as spool:
            yield spool
        return
    if not Path(source).exists():
        raise CommandError("no such input file")
    with Path(source).open("rb") as file:
        if file.seekable():
            yield file
            return
        with _spooled(file) as spool:
            yield spool


@contextmanager
def _spooled(pipe: BinaryIO) -> Iterator[BinaryIO]:
    with tempfile.SpooledTemporaryFile(_IN_MEMORY) as spool:
        shutil.copyfileobj(pipe, spool)
        spool.seek(0)
        yield cast(BinaryIO, spool)


def is_compressed(source: str, file: BinaryIO) -> bool:
    """Whether to decompress: by the name of a file, by the first bytes of stdin."""
    if source != STDIO:
        return Path(source).suffix.lower() == ECDC
    start = file.read(len(_MAGIC))
    file.seek(0)
    return start == _MAGIC


def open_output(path: Path | None) -> AbstractContextManager[BinaryIO]:
    """A binary file to write; None is stdout. Raises `CommandError` and `OSError`."""
    return open_stdout() if path is None else _replacing(path)


@contextmanager
def open_stdout(text: bool = False) -> Iterator[BinaryIO]:
    """stdout, which only `text` may go to where it is a terminal. Raises `CommandError`."""
    if sys.stdout is None:
        raise CommandError("stdout is closed")
    if sys.stdout.isatty() and not text:
        raise CommandError("the output is not text: redirect stdout or name an output file")
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        # What is still buffered would fail once more when the process ends.
        nowhere = os.open(os.devnull, os.O_WRONLY)
        os.dup2(nowhere, sys.stdout.fileno())
        os.close(nowhere)
        raise CommandError("nobody reads the output any more") from None


@contextmanager
def _replacing(path: Path) -> Iterator[BinaryIO]:
    """A hidden file beside `path`, renamed at the end, or removed if that is never reached.

    A link is followed. A device or a named pipe cannot be replaced and is written to.
    """
    given, path = path, path.resolve()
    mode = path.stat().st_mode if path.exists() else None
    if mode is not None and not stat.S_ISREG(mode):
        with path.open("wb") as file:
            yield file
        return
    temporary = path.with_name(f".encodec-{secrets.token_hex(8)}.part")
    remove = partial(temporary.unlink, missing_ok=True)
    # A signal may come after this block has begun and before the caller's `with` has, so that the
    # block is never left. The end of the process removes the file then.
    atexit.register(remove)
    try:
        with temporary.open("xb") as file:
            yield file
        raise_if_ended()
        if mode is not None:
            temporary.chmod(stat.S_IMODE(mode))
        temporary.replace(path)
    except OSError as error:
        if error.filename != str(temporary):
            raise
        raise CommandError(f"cannot write {given}: {error.strerror}") from error
    finally:
        remove()
        atexit.unregister(remove)
