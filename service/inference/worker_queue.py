"""Where worker threads wait for batches: how much of the queue each takes, and when."""

import math
import threading
import time
from collections.abc import Sequence

from .fair_queue import FairQueue, Job

TAKEN_AT = 0.75
"""Share of a batch's time after which the next one is taken, so that it is written before this
one ends."""

_NEWEST = 0.25  # weight of the last batch in the estimate for the next one


class WorkerQueue:
    """Jobs are put in on the event loop's thread; workers take batches and report when each is
    done. A batch is jobs of one task whose `part`s run together.

    Here the workers compute side by side, each on a core: a batch is taken as soon as a worker is
    free, and is the worker's share of what waits, one work of each stream. A stream that waits
    alone gets as many works as a batch may have; idle workers then lend their threads.
    """

    kind = "cpu"
    niceness = 10
    """Of the workers: whoever waits for less than a batch (the event loop, live steps, decoders)
    goes first."""

    def __init__(self, workers: int, batch_seconds: float = math.inf):
        """A batch holds no more audio than `batch_seconds`, unless a single work does."""
        self.workers = workers
        self._batch_seconds = batch_seconds
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

    def take(self) -> list[Job]:
        """The next batch, as soon as it is time; empty once the queue is closed."""
        with self._changed:
            while not self._closed:
                delay = self._delay() if self._fair.jobs else None
                if delay == 0:
                    if batch := self._choose():
                        return batch
                else:
                    self._idle += 1
                    self._changed.wait(delay)
                    self._idle -= 1
        return []

    def done(self, batch: Sequence[Job], unfinished: Sequence[Job]) -> Sequence[Job]:
        """A batch has ended; those of its jobs that are unfinished wait again, at once.

        Returns the jobs that will not be taken any more, because the queue was closed.
        """
        with self._changed:
            if self._closed:
                return unfinished
            for job in unfinished:
                self._fair.put(job)
            self._changed.notify(max(0, len(unfinished) - 1))  # this worker takes one itself
        return []

    def close(self) -> list[Job]:
        """Wake and release the workers; returns the jobs that will not be taken any more."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            return self._fair.clear()

    def _delay(self) -> float | None:
        """Seconds until the next batch should be taken; 0 for now, None for not before something
        changes."""
        return 0.0

    def _choose(self) -> list[Job]:
        """Take a batch; an empty one where all clients have gone."""
        fair = self._fair
        if fair.jobs == 1:
            return fair.take(fair.works, self._batch_seconds)
        share = -(-fair.jobs_in_turn // self.workers)
        return fair.take(min(fair.task.max_batch, share), self._batch_seconds, one_each=True)


class LiveQueue(WorkerQueue):
    """For the short steps of live streams, on workers of their own: the system runs them at once,
    since they mostly sleep, and leaves the others their share. Steps that wait together are a
    batch, on one thread each: more would take longer to wake than to work."""

    kind = "live"
    niceness = 0

    def spare(self) -> int:
        """None, whatever is idle."""
        return 0


class DeviceQueue(WorkerQueue):
    """For a device that takes the same time for each batch, however full: a batch fills its rows
    with what waits, in turn, with several works of a stream where fewer streams wait than there
    are rows.

    It is taken at once where the device is idle or all rows can be filled; else when the running
    batch is about to end, so that works that arrive meanwhile are in it. With two workers, one
    batch is written and read while the other is computed.
    """

    kind = "device"
    niceness = 0

    def __init__(self, workers: int):
        super().__init__(workers)
        # The first job of each batch that runs, in their order; since when the device has it.
        self._running: dict[Job, float] = {}
        self._idle_since = time.monotonic()
        self._seconds: dict[tuple[str, str], float] = {}  # that a batch of a task takes

    def running_for(self) -> float:
        """Seconds that the device has been busy with its batch; 0 when there is none."""
        with self._changed:
            started = next(iter(self._running.values()), None)
        return 0.0 if started is None else time.monotonic() - started

    def idle_for(self) -> float:
        """Seconds that the device has been idle; 0 when it is busy."""
        with self._changed:
            busy = self._running or self._fair.jobs
            return 0.0 if busy else time.monotonic() - self._idle_since

    def done(self, batch: Sequence[Job], unfinished: Sequence[Job]) -> Sequence[Job]:
        """As `WorkerQueue`."""
        first = batch[0]
        with self._changed:
            now = self._idle_since = time.monotonic()
            was_in_turn = first is next(iter(self._running))
            seconds, key = now - self._running.pop(first), (first.task.name, first.task.model)
            before = self._seconds.get(key, seconds)
            self._seconds[key] = before + _NEWEST * (seconds - before)
            if was_in_turn and self._running:  # the next one's turn on the device begins now
                self._running[next(iter(self._running))] = now
            self._changed.notify_all()
            return super().done(batch, unfinished)

    def _delay(self) -> float | None:
        if not self._running or self._fair.has_in_turn(self._fair.task.max_batch):
            return 0.0
        first, started = next(iter(self._running.items()))
        seconds = self._seconds.get((first.task.name, first.task.model))
        if seconds is None:
            return None
        return max(0.0, started + TAKEN_AT * seconds - time.monotonic())

    def _choose(self) -> list[Job]:
        batch = self._fair.take(self._fair.task.max_batch)
        if batch:
            self._running[batch[0]] = time.monotonic()
        return batch
