"""The files of jobs: a folder for each, which all replicas share."""

import asyncio
import os
import re
import secrets
import shutil
import time
from collections.abc import AsyncIterator, Collection
from contextlib import asynccontextmanager
from hashlib import sha256
from pathlib import Path
from typing import BinaryIO

from .job import Job

_ID = re.compile(r"[A-Za-z0-9_-]{32}")
_ORPHAN_AGE = 3600  # s that a folder of no job is left alone
_BUFFER = 1 << 20  # bytes that are written at once


def new_id() -> str:
    """One that nobody can guess."""
    return secrets.token_urlsafe(24)


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


class PieceWriter:
    """A file that comes in pieces: many are written at once, in a thread, and hashed there."""

    def __init__(self, file: BinaryIO):
        self._file = file
        self._buffer = bytearray()
        self.digest = sha256()
        """Of what is written."""
        self.written = 0
        """Bytes that others can read by now."""

    @property
    def size(self) -> int:
        """Bytes given."""
        return self.written + len(self._buffer)

    async def add(self, piece: bytes) -> None:
        """The next bytes. Raises `OSError`."""
        self._buffer += piece
        if len(self._buffer) >= _BUFFER:
            await self.flush()

    async def flush(self) -> None:
        """Write what waits. Raises `OSError`."""
        data = bytes(self._buffer)
        self._buffer.clear()
        await asyncio.to_thread(self._write, data)
        self.written += len(data)

    def _write(self, data: bytes) -> None:
        self.digest.update(data)
        self._file.write(data)
        self._file.flush()

    async def sync(self) -> None:
        """Write what waits, and have the disk keep all of it. Raises `OSError`."""
        await self.flush()
        await asyncio.to_thread(os.fsync, self._file.fileno())


@asynccontextmanager
async def writing(path: Path) -> AsyncIterator[PieceWriter]:
    """A new file. Raises `OSError`."""
    with await asyncio.to_thread(path.open, "wb") as file:
        yield PieceWriter(file)


class JobFiles:
    """Where the files of each job are."""

    def __init__(self, folder: Path):
        """Raises `OSError` where the folder cannot be made."""
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        self._folder = folder / "files"
        self._folder.mkdir(mode=0o700, exist_ok=True)

    def make(self, id: str) -> None:
        """The folder of a new job."""
        (self._folder / id).mkdir(mode=0o700)

    def input(self, id: str) -> Path:
        """What was uploaded."""
        return self._folder / id / "input"

    def fetching(self, job: Job) -> Path:
        """What this attempt has received of its source."""
        return self._folder / job.id / f"input-{job.attempt}"

    def result(self, job: Job) -> Path:
        """What this attempt makes of it. (One that was thought dead writes into its own.)"""
        return self._folder / job.id / f"result-{job.attempt}"

    def keep_only(self, path: Path) -> None:
        """Delete everything else in the folder of a job."""
        for file in path.parent.iterdir():
            if file != path:
                file.unlink(missing_ok=True)

    def remove(self, id: str) -> None:
        """All of a job."""
        shutil.rmtree(self._folder / id, ignore_errors=True)

    def remove_orphans(self, ids: Collection[str]) -> None:
        """Folders of none of these jobs that have not changed for a while."""
        for folder in self._folder.iterdir():
            if folder.name in ids or not is_id(folder.name):
                continue
            try:
                old = time.time() - folder.stat().st_mtime > _ORPHAN_AGE
            except FileNotFoundError:
                continue
            if old:
                self.remove(folder.name)
