"""Processes that are started, pinned to a core, watched and stopped."""

import contextlib
import os
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from ..serving.servers import ServerError

ROOT = Path(__file__).parents[2]
PATIENCE = 180.0  # s
_TICKS = os.sysconf("SC_CLK_TCK")


class Process:
    """A command and all its children, with its output in a file."""

    def __init__(self, command: Sequence[str], log: Path, **environment: str):
        self.log = log
        with log.open("wb") as output:
            self.popen = subprocess.Popen(
                command,
                cwd=ROOT,
                env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
                stdout=output,
                stderr=subprocess.STDOUT,
            )

    @property
    def pid(self) -> int:
        return self.popen.pid

    def wait_until(self, condition: Callable[[], bool], every: float = 0.05) -> None:
        """Looks every so many seconds. Raises `ServerError` where the process ends before, or it
        takes too long."""
        deadline = time.monotonic() + PATIENCE
        while not condition():
            if self.popen.poll() is not None or time.monotonic() > deadline:
                end = self.log.read_text(errors="replace")[-2000:]
                raise ServerError(f"not ready; the end of its log: {end}")
            time.sleep(every)

    def stop(self) -> int:
        """Tell it to end; returns its exit status."""
        self.popen.terminate()
        return self.popen.wait(PATIENCE)

    @contextmanager
    def running(self) -> Iterator[None]:
        """A block at whose end it is stopped, if it still runs."""
        try:
            yield
        finally:
            if self.popen.poll() is None:
                try:
                    self.stop()
                except subprocess.TimeoutExpired:
                    self.popen.kill()
                    self.popen.wait()


def python(*arguments: str) -> list[str]:
    """A command of this interpreter."""
    return [sys.executable, *arguments]


def family(pid: int) -> list[int]:
    """A process and its descendants."""
    found, waiting = [], [pid]
    while waiting:
        member = waiting.pop()
        with contextlib.suppress(OSError):
            for children in Path(f"/proc/{member}/task").glob("*/children"):
                waiting += map(int, children.read_text().split())
            found.append(member)
    return found


def pin(pid: int, core: int) -> None:
    """All threads of a process and its children to one core."""
    for member in family(pid):
        for thread in Path(f"/proc/{member}/task").iterdir():
            with contextlib.suppress(OSError):
                os.sched_setaffinity(int(thread.name), {core})


def cpu_seconds(pid: int) -> float:
    """Processor time of a process and its children, and of those of them that have ended."""
    total = 0.0
    for member in family(pid):
        with contextlib.suppress(OSError):
            fields = Path(f"/proc/{member}/stat").read_text().rpartition(")")[2].split()
            total += sum(map(int, fields[11:15])) / _TICKS
    return total
