"""The command `encodec-batch`, in the test's process or its own, and recordings for it."""

import contextlib
import io
import json
import os
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from unittest import mock

from model_core.cli import main as encodec_main
from service.batch.command import main as batch_main
from tests.service.sounds import encoded, wav

BATCH = (sys.executable, "-m", "service.batch")
ENCODEC = (sys.executable, "-m", "model_core")
PATIENCE = 100  # s
ALONE = ("--workers", "1")
"""Where it is not the point how many there are: each takes more than a second to start."""


@dataclass
class Run:
    """What came of a run of the command."""

    code: int
    err: str
    report: list[dict[str, Any]]

    @property
    def count(self) -> Counter[str]:
        """Of outcomes."""
        return Counter(str(line["outcome"]) for line in self.report)

    def one(self, outcome: str) -> dict[str, Any]:
        """The only line with that outcome."""
        (line,) = [line for line in self.report if line["outcome"] == outcome]
        return line


@dataclass
class Batch:
    """Runs `encodec-batch` with some weights; its report is kept in `folder`."""

    folder: Path
    weights: Path

    @property
    def environment(self) -> dict[str, str]:
        return {**os.environ, "ENCODEC_WEIGHTS": str(self.weights), "OMP_NUM_THREADS": "1"}

    def command(self, *arguments: object) -> list[str]:
        """Of a process."""
        return [*BATCH, *self._given(*arguments)]

    def __call__(self, *arguments: object) -> Run:
        """In this process; the workers are processes, as ever."""
        code, err = self._run(batch_main, self._given(*arguments))
        return Run(code, err, self.report())

    def process(self, *arguments: object, **environment: str) -> Run:
        """As a process."""
        done = subprocess.run(
            self.command(*arguments),
            env=self.environment | environment,
            capture_output=True,
            text=True,
            timeout=PATIENCE,
        )
        return Run(done.returncode, done.stderr, self.report())

    def _given(self, *arguments: object) -> list[str]:
        report = self.folder / "report.jsonl"
        return ["--workers", "2", "--report", str(report), *map(str, arguments)]

    def _run(self, main: Callable[[list[str]], int], arguments: list[str]) -> tuple[int, str]:
        """The exit code of a command, and what it says."""
        with (
            contextlib.redirect_stderr(io.StringIO()) as err,
            mock.patch.dict(os.environ, self.environment),
        ):
            try:
                code = main(arguments)
            except SystemExit as ended:
                code = int(ended.code or 0)
        return code, err.getvalue()

    def report(self) -> list[dict[str, Any]]:
        """What the last run has reported."""
        report = self.folder / "report.jsonl"
        if not report.exists():
            return []
        return [json.loads(line) for line in report.read_text().splitlines()]

    def encodec(self, *arguments: object) -> None:
        """The command `encodec`, which must succeed but for the corrupt file."""
        _, err = self._run(encodec_main, [*map(str, arguments)])
        lines = [line for line in err.splitlines() if "->" not in line]
        assert all("corrupt" in line for line in lines), err


def recordings(folder: Path) -> Path:
    """Six of several kinds, in subfolders, one of them corrupt, and what is none."""
    for name, data in {
        "a.wav": wav(0.4, seed=1),
        "one/b.flac": encoded("flac"),
        "one/c.mp3": encoded("mp3"),
        "one/two/d.WAV": wav(1.1, 44_100, 2, seed=2),
        "e.m4a": encoded("m4a"),
        "corrupt.flac": encoded("flac")[:700],
        "notes.txt": b"none",
        ".hidden/f.wav": wav(0.1),
    }.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return folder


GOOD = ("a", "e", "one/b", "one/c", "one/two/d")
"""The names of those that are recordings, without suffixes."""


def files(folder: Path) -> dict[str, bytes]:
    """All files below, hidden ones too."""
    return {
        str(path.relative_to(folder)): path.read_bytes()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }
