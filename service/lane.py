"""The waiting line in front of some worker threads: fair between streams, batched by task."""

import asyncio
import heapq
import itertools
import math
import threading
import time
from dataclasses import dataclass, field
from typing import Any

from model_core.codec.work import Work


@dataclass(eq=False)
class Job:
    """Work that was handed in, and the future its result goes to.

    The future belongs to the event loop; a worker only asks it whether it was cancelled.
    """

    work: Work
    future: asyncio.Future[Any]
    queued_at: float = field(default_factory=time.monotonic)

    def succeed(self, result: Any) -> None:
        if not self.future.done():
            self.future.set_result(result)

    def fail(self, error: Exception) -> None:
        if isinstance(error, StopIteration):  # a future cannot carry it
            error = RuntimeError(f"the work raised {error!r}")
        if not self.future.done():
            self.future.set_exception(error)


@dataclass
class Turn:
    """Where a stream stands in the line: the time, in seconds of audio, its next work starts."""

    next_start: float = 0.0


class Lane:
    """The line. Work is taken in the order of its start on a clock of audio-seconds.

    The clock stands at the start of the work last taken. A stream that hands in much at once
    queues it end to end behind that; a stream that comes later starts at the clock, so it goes
    between the other's works and not after them (start-time fair queueing).
    """

    def __init__(self, threads: int, batch_seconds: float = math.inf, *, divide: bool = True):
        """A batch holds no more audio than `batch_seconds`, unless a single job does.

        With `divide`, a worker takes its share of what waits, as cores do best that work side by
        side; without, all that fits, as it is best where a batch costs the same however full.
        """
        self.threads = threads
        self._divide = divide
        self._batch_seconds = batch_seconds
        self._changed = threading.Condition()
        self._lines: dict[int, list[tuple[float, int, Job]]] = {}  # a heap for each task's id
        self._numbers = itertools.count()
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
            start = max(self._clock, turn.next_start)
            turn.next_start = start + job.work.cost
            line = self._lines.setdefault(id(job.work.task), [])
            heapq.heappush(line, (start, next(self._numbers), job))
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

    def spare(self) -> int:
        """Workers that have nothing to take."""
        with self._changed:
            return max(0, self._idle - self._depth)

    def _next_batch(self) -> list[Job]:
        """Of the task whose turn it is, as many as wait and fit, or this worker's share of them."""
        task_id = min(self._lines, key=lambda task: self._lines[task][0][:2])
        line = self._lines[task_id]
        share = -(-len(line) // self.threads) if self._divide else len(line)
        most = min(line[0][2].work.task.max_batch, share)
        batch: list[Job] = []
        seconds = 0.0
        while line and len(batch) < most:
            start, _, job = line[0]
            seconds += job.work.cost
            if batch and seconds > self._batch_seconds:
                break
            heapq.heappop(line)
            self._depth -= 1
            self._clock = max(self._clock, start)
            if not job.future.cancelled():
                batch.append(job)
        if not line:
            del self._lines[task_id]
        return batch

    def close(self) -> list[Job]:
        """Wake and release the workers; returns the jobs that nobody will take now."""
        with self._changed:
            left = [job for line in self._lines.values() for _, _, job in sorted(line)]
            self._lines.clear()
            self._depth = 0
            self._closed = True
            self._changed.notify_all()
        return left
