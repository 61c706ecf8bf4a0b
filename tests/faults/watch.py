"""What the processes of a running service use, sampled from outside while it is attacked."""

import contextlib
import multiprocessing
import os
import statistics
import threading
import time
from dataclasses import dataclass, field
from http.client import HTTPConnection, HTTPException
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Self
from urllib.parse import urlsplit

_PAGE = os.sysconf("SC_PAGE_SIZE")
_INTERVAL = 0.05  # s


@dataclass
class Use:
    """Of a process and all its descendants."""

    memory: int  # bytes resident
    children: int  # bytes of that in the descendants
    descriptors: int  # of the process itself
    processes: int

    @property
    def own(self) -> int:
        """Bytes resident of the process itself: decoders come and go beside it."""
        return self.memory - self.children


def use_of(pid: int) -> Use:
    """Now."""
    family = [pid, *descendants(pid)]
    sizes = [_resident(member) for member in family]
    return Use(sum(sizes), sum(sizes[1:]), _descriptors(pid), len(family))


def children(pid: int) -> list[int]:
    """Those that the first thread of a process has forked; no other process is looked at."""
    with contextlib.suppress(OSError):  # it has ended
        return list(map(int, Path(f"/proc/{pid}/task/{pid}/children").read_text().split()))
    return []


def descendants(pid: int) -> list[int]:
    """Children, their children, and so on."""
    parents: dict[int, list[int]] = {}
    for entry in Path("/proc").iterdir():
        if entry.name.isdigit() and (fields := _stat(int(entry.name))):
            parents.setdefault(int(fields[1]), []).append(int(entry.name))
    found, unseen = [], [pid]
    while unseen:
        below = parents.get(unseen.pop(), [])
        found += below
        unseen += below
    return found


def cpu_seconds(pid: int) -> float:
    """User and system time of a process, and of those of its children that have ended."""
    fields = _stat(pid) or ["0"] * 17
    return sum(map(int, fields[11:15])) / os.sysconf("SC_CLK_TCK")


@dataclass
class Watch:
    """Samples a service: peaks of what it uses, in a thread, and how long `/health/live` takes, in
    a process that waits for nothing else. All is there after the block."""

    pid: int
    url: str
    peak: Use = field(default_factory=lambda: Use(0, 0, 0, 0))
    health: list[float] = field(default_factory=list)  # s
    unanswered: int = 0

    def __enter__(self) -> Self:
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._sample, daemon=True)
        self._thread.start()
        spawn = multiprocessing.get_context("spawn")
        self._pipe, other = spawn.Pipe()
        self._prober = spawn.Process(target=_probe, args=(self.url, other), daemon=True)
        self._prober.start()
        self._pipe.recv()
        return self

    def __exit__(self, *error: object) -> None:
        self._stop.set()
        self._thread.join()
        self._pipe.send(None)
        self.health, self.unanswered = self._pipe.recv()
        self._prober.join()

    def health_p99(self) -> float:
        """In seconds."""
        if len(self.health) < 2:
            return max(self.health, default=float("inf"))
        return statistics.quantiles(self.health, n=100, method="inclusive")[98]

    def _sample(self) -> None:
        while not self._stop.wait(_INTERVAL):
            now = use_of(self.pid)
            self.peak.memory = max(self.peak.memory, now.memory)
            self.peak.children = max(self.peak.children, now.children)
            self.peak.descriptors = max(self.peak.descriptors, now.descriptors)
            self.peak.processes = max(self.peak.processes, now.processes)


def _probe(url: str, pipe: Connection) -> None:
    """Says that it begins, and when it is asked, what seconds the probes took and how many were not
    answered. A new connection each time, as a load balancer's probe makes."""
    took: list[float] = []
    unanswered = 0
    pipe.send(None)
    while not took or not pipe.poll(_INTERVAL):
        began = time.monotonic()
        connection = HTTPConnection(urlsplit(url).netloc, timeout=30)
        try:
            connection.request("GET", "/health/live")
            ok = connection.getresponse().status == 200
        except (OSError, HTTPException):
            ok = False
        connection.close()
        took.append(time.monotonic() - began)
        unanswered += not ok
    pipe.send((took, unanswered))


def _stat(pid: int) -> list[str] | None:
    """Fields of `/proc/PID/stat` from the state on (`proc(5)`)."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _resident(pid: int) -> int:
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * _PAGE
    except (OSError, IndexError):
        return 0


def _descriptors(pid: int) -> int:
    try:
        return len(list(Path(f"/proc/{pid}/fd").iterdir()))
    except OSError:
        return 0
