"""Where worker threads wait for batches; on a CPU, batches that they share among them."""

import math
import threading
from abc import ABC, abstractmethod
from collections.abc import Sequence

from .batch import Batch, Job
from .fair_queue import FairQueue


class WorkerQueue(ABC):
    """Jobs go in, in the event loop's thread; workers take batches, and say when each is done."""

    def __init__(self, workers: int):
        self.workers = workers
        self._fair = FairQueue()
        self._changed = threading.Condition()
        self._idle = 0
        self._closed = False

    @property
    def depth(self) -> int:
        """Works that wait, those of clients that have gone included."""
        return self._fair.works

    def spare(self) -> int:
        """Workers that have nothing to take."""
        with self._changed:
            return max(0, self._idle - self._fair.jobs)

    def put(self, job: Job) -> None:
        """Have a job wait for a worker."""
        with self._changed:
            self._fair.put(job)
            self._changed.notify()

    def take(self) -> Batch | None:
        """The next batch, as soon as it is time; None once the queue is closed."""
        with self._changed:
            while not self._closed:
                delay = self._delay() if self._fair.jobs else None
                if delay == 0:
                    batch = self._choose()
                    if batch.parts:
                        return batch
                else:
                    self._idle += 1
                    self._changed.wait(delay)
                    self._idle -= 1
        return None

    def done(self, batch: Batch, unfinished: Sequence[Job]) -> list[Job]:
        """A batch has ended; those of its jobs that are not finished wait again, at once.

        Returns those that nobody will take now, since the queue was closed.
        """
        with self._changed:
            if self._closed:
                return list(unfinished)
            for job in unfinished:
                self._fair.put(job)
            self._changed.notify(max(0, len(unfinished) - 1))  # this worker takes one itself
        return []

    def close(self) -> list[Job]:
        """Wake and release the workers; returns the jobs that nobody will take now."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return self._fair.clear()

    @abstractmethod
    def _delay(self) -> float | None:
        """Seconds until a batch is to be taken of what waits, 0 for now; None: not before
        something changes."""

    @abstractmethod
    def _choose(self) -> Batch:
        """Take a batch of what waits; an empty one where all clients have gone."""


class CpuQueue(WorkerQueue):
    """For workers that compute side by side, on a core each: a batch is taken as soon as a worker
    is free and is its share of what waits, one work of each stream. A stream that waits alone gets
    as many as a batch may have; workers that are idle then lend their threads."""

    def __init__(self, workers: int, batch_seconds: float = math.inf):
        """A batch holds no more audio than `batch_seconds`, unless a single work does."""
        super().__init__(workers)
        self._batch_seconds = batch_seconds

    def _delay(self) -> float:
        return 0.0

    def _choose(self) -> Batch:
        fair, seconds = self._fair, self._batch_seconds
        if fair.jobs == 1:
            return Batch(fair.take_in_turn(fair.works, seconds))
        share = -(-fair.jobs_in_turn // self.workers)
        return Batch(fair.take_one_each(min(fair.task.max_batch, share), seconds))
