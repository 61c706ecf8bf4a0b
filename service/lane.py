"""The waiting line in front of some worker threads: fair between streams, batched by task."""

import asyncio
import heapq
import itertools
import math
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from model_core.codec.work import Task, Work


@dataclass(eq=False)
class Job:
    """Work of one stream and one task that was handed in to be done at once, and the future that
    its results go to.

    The future belongs to the event loop; a worker only asks it whether it was cancelled.
    """

    works: Sequence[Work]
    future: asyncio.Future[list[Any]]
    queued_at: float = field(default_factory=time.monotonic)

    @property
    def task(self) -> Task:
        return self.works[0].task

    @property
    def cost(self) -> float:
        """Seconds of audio."""
        return sum(work.cost for work in self.works)

    def succeed(self, results: list[Any]) -> None:
        if not self.future.done():
            self.future.set_result(results)

    def fail(self, error: Exception) -> None:
        if isinstance(error, StopIteration):  # a future cannot carry it
            error = RuntimeError(f"the work raised {error!r}")
        if not self.future.done():
            self.future.set_exception(error)


class Turn:
    """A stream, as the line knows it."""


class _Place(NamedTuple):
    """Where a job stands; first come, first served among those that end at the same time."""

    end: float
    number: int
    start: float
    job: Job


class Lane:
    """The line. Work is taken in the order of its end on a clock of audio-seconds.

    The works of a stream stand end to end on the clock, however they come; those of a stream that
    comes later begin at its hand, so they go between the others' and not after them (weighted fair
    queueing, all weights equal). What is done moves the hand on, shared among all who wait, so
    that newcomers keep no stream waiting for ever; it does not stay behind those who wait.
    """

    def __init__(self, threads: int, batch_seconds: float = math.inf, *, divide: bool = True):
        """A batch holds no more audio than `batch_seconds`, unless a single job does.

        With `divide`, a worker takes its share of what waits, as cores do best that work side by
        side; without, all that fits, as it is best where a batch costs the same however full.
        """
        self.threads = threads
        self._divide = divide
        self.batch_seconds = batch_seconds
        self._changed = threading.Condition()
        self._lines: dict[int, list[_Place]] = {}  # a heap for each task's id
        self._numbers = itertools.count()
        self._ends: WeakKeyDictionary[Turn, float] = WeakKeyDictionary()
        self._clock = 0.0
        self._depth = 0
        self._idle = 0
        self._closed = False

    @property
    def depth(self) -> int:
        """Jobs that wait, those of clients that have gone included."""
        return self._depth

    def put(self, job: Job, turn: Turn) -> None:
        with self._changed:
            start = max(self._clock, self._ends.get(turn, 0.0))
            self._ends[turn] = start + job.cost
            line = self._lines.setdefault(id(job.task), [])
            heapq.heappush(line, _Place(start + job.cost, next(self._numbers), start, job))
            self._depth += 1
            self._changed.notify()

    def take(self) -> list[Job]:
        """The next batch, as soon as anything waits; empty once the lane is closed."""
        with self._changed:
            while True:
                while not self._lines and not self._closed:
                    self._idle += 1
                    self._changed.wait()
                    self._idle -= 1
                if self._closed:
                    return []
                batch = self._next_batch()
                if batch:
                    return batch

    @property
    def quiet(self) -> bool:
        """Whether a worker waits and nothing waits for one."""
        with self._changed:
            return self._idle > self._depth == 0

    def spare(self) -> int:
        """Workers that have nothing to take."""
        with self._changed:
            return max(0, self._idle - self._depth)

    def _next_batch(self) -> list[Job]:
        """Of the task whose turn it is, as many as wait and fit, or this worker's share of them."""
        task_id = min(self._lines, key=lambda task: self._lines[task][0][:2])
        line = self._lines[task_id]
        share = -(-len(line) // self.threads) if self._divide else len(line)
        most = min(line[0].job.task.max_batch, share)
        batch: list[Job] = []
        seconds = 0.0
        while line and len(batch) < most:
            job = line[0].job
            seconds += job.cost
            if batch and seconds > self.batch_seconds:
                break
            heapq.heappop(line)
            self._depth -= 1
            if not job.future.cancelled():
                batch.append(job)
        if not line:
            del self._lines[task_id]
        self._move_on(batch)
        return batch

    def _move_on(self, batch: list[Job]) -> None:
        """Move the clock's hand, now that this is being done."""
        done = sum(job.cost for job in batch)
        self._clock += done / (len(batch) + self._depth + 1)
        starts = [place.start for line in self._lines.values() for place in line]
        if starts:
            self._clock = max(self._clock, min(starts))

    def close(self) -> list[Job]:
        """Wake and release the workers; returns the jobs that nobody will take now."""
        with self._changed:
            left = [place.job for line in self._lines.values() for place in sorted(line)]
            self._lines.clear()
            self._depth = 0
            self._closed = True
            self._changed.notify_all()
        return left
