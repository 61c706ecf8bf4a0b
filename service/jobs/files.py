"""The files of jobs: a folder for each, which all replicas share."""

import re
import secrets
import shutil
import time
from collections.abc import Collection
from pathlib import Path

from .job import Job

_ID = re.compile(r"[A-Za-z0-9_-]{32}")
_ORPHAN_AGE = 3600  # s that a folder of no job is left alone


def new_id() -> str:
    """One that nobody can guess."""
    return secrets.token_urlsafe(24)


def is_id(text: str) -> bool:
    return _ID.fullmatch(text) is not None


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
