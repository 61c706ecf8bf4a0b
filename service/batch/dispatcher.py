"""Hands jobs to workers, and those of a worker that is lost to others."""

import time
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Protocol

from model_core.errors import EncodecError

from .plan import Job
from .report import Outcome

_LOOK = 0.5  # s between two looks at the progress
_MOST_TRIES = 3
_MOST_LOST = 5  # workers one after another, none of which has become ready


class EngineError(EncodecError):
    """The workers cannot work."""


@dataclass(frozen=True)
class Ready:
    """A worker takes as many jobs at a time."""

    worker: int
    streams: int


@dataclass(frozen=True)
class Done:
    """A worker has done a job."""

    worker: int
    job: Job
    outcomes: list[Outcome]


@dataclass(frozen=True)
class Lost:
    """A worker has died, with its machine perhaps; the engine starts another one where it can."""

    worker: int
    reason: str


@dataclass(frozen=True)
class Dropped:
    """A worker, which never was ready, cannot work and is not replaced."""

    reason: str


Event = Ready | Done | Lost | Dropped


class Engine(Protocol):
    """Workers, by number; none is used twice."""

    def submit(self, worker: int, job: Job) -> None:
        """Have a worker that is ready do a job."""

    def wait(self, seconds: float) -> list[Event]:
        """What has happened; returns once something has, or after so long. Raises `EngineError`
        where no worker can work here."""

    def audio_seconds(self) -> float:
        """Seconds of audio that all workers have done, jobs that are not done yet included."""

    def close(self) -> None:
        """Stop the workers; what they were doing is left undone, without a trace."""


@dataclass
class _Worker:
    """What the dispatcher knows of one."""

    streams: int
    jobs: dict[int, Job] = field(default_factory=dict)


class Dispatcher:
    """Does jobs by an engine.

    A job whose worker was lost is done again, alone on its worker, so that one that kills workers
    takes no other with it; after three of them it has failed.
    """

    def __init__(
        self,
        engine: Engine,
        jobs: Sequence[Job],
        on_done: Callable[[Job, list[Outcome]], None],
        on_progress: Callable[[float], None],
        on_lost: Callable[[str], None],
    ):
        """`on_progress` is told the seconds of audio done, `on_lost` why a worker was lost."""
        self._engine = engine
        self._waiting = deque(jobs)
        self._again: deque[Job] = deque()
        self._tries: dict[int, int] = {}
        self._workers: dict[int, _Worker] = {}
        self._on_done, self._on_progress, self._on_lost = on_done, on_progress, on_lost
        self._left = len(jobs)
        self._lost = 0

    def run(self) -> None:
        """Until all jobs are done. Raises `EngineError` where no worker can do any."""
        looked = time.monotonic()
        while self._left:
            for number, worker in self._workers.items():
                self._fill(number, worker)
            for event in self._engine.wait(_LOOK):
                self._take(event)
            if time.monotonic() - looked >= _LOOK:
                looked = time.monotonic()
                self._on_progress(self._engine.audio_seconds())

    def _fill(self, number: int, worker: _Worker) -> None:
        if any(job.number in self._tries for job in worker.jobs.values()):
            return
        if self._again:
            if not worker.jobs:
                self._submit(number, worker, self._again.popleft())
            return
        while self._waiting and len(worker.jobs) < worker.streams:
            self._submit(number, worker, self._waiting.popleft())

    def _submit(self, number: int, worker: _Worker, job: Job) -> None:
        worker.jobs[job.number] = job
        self._engine.submit(number, job)

    def _take(self, event: Event) -> None:
        if isinstance(event, Ready):
            self._workers[event.worker] = _Worker(event.streams)
            self._lost = 0
        elif isinstance(event, Done):
            del self._workers[event.worker].jobs[event.job.number]
            self._finish(event.job, event.outcomes)
        elif isinstance(event, Dropped):
            self._on_lost(event.reason)
        else:
            self._lose(event)

    def _lose(self, event: Lost) -> None:
        self._on_lost(event.reason)
        worker = self._workers.pop(event.worker, None)
        if worker is None:
            self._lost += 1
            if self._lost == _MOST_LOST:
                raise EngineError(f"workers do not start: {event.reason}")
            return
        for job in worker.jobs.values():
            tries = self._tries[job.number] = self._tries.get(job.number, 0) + 1
            if tries < _MOST_TRIES:
                self._again.append(job)
                continue
            reason = f"{tries} workers were lost that worked on it; the last: {event.reason}"
            self._finish(job, [Outcome(item.path, "failed", reason) for item in job.items])

    def _finish(self, job: Job, outcomes: list[Outcome]) -> None:
        self._left -= 1
        self._on_done(job, outcomes)
