"""Where the bytes go: a file that appears whole or not at all, or stdout."""

import atexit
import os
import secrets
import stat
import sys
from collections.abc import Iterator
from contextlib import AbstractContextManager, contextmanager
from functools import partial
from pathlib import Path
from typing import BinaryIO

from .ending import raise_if_ended
from .errors import CommandError


def open_output(path: Path | None) -> AbstractContextManager[BinaryIO]:
    """A binary file to write; None is stdout. Raises `CommandError` and `OSError`."""
    return _stdout() if path is None else _replacing(path)


@contextmanager
def _stdout() -> Iterator[BinaryIO]:
    if sys.stdout is None:
        raise CommandError("stdout is closed")
    if sys.stdout.isatty():
        raise CommandError("the output is not text: redirect stdout or name an output file")
    try:
        yield sys.stdout.buffer
        sys.stdout.buffer.flush()
    except BrokenPipeError:
        _abandon_stdout()
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


def _abandon_stdout() -> None:
    """What is still buffered would fail once more when the process ends."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, sys.stdout.fileno())
    os.close(nowhere)
