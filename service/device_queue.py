"""Batches for a device that takes the same time for each, however full it is."""

import time
from collections.abc import Sequence

from model_core.codec.work import Task

from .batch import Batch, Job
from .worker_queue import WorkerQueue

TAKEN_AT = 0.75
"""Of a batch's time: when the next one is taken, so that it is written before this one ends."""

_NEWEST = 0.25  # weight of the last batch in the time that the next one is thought to take


class DeviceQueue(WorkerQueue):
    """A batch fills its rows with what waits, in turn: with several works of a stream, one after
    another, where fewer streams wait than there are rows.

    It is taken at once where the device has nothing to do or the rows can all be filled; else when
    the batch that runs is about to end, so that what comes meanwhile is in it. With two workers,
    one batch is written and read while the other is computed.
    """

    def __init__(self, workers: int):
        super().__init__(workers)
        self._running: dict[Batch, float] = {}  # in their order; since when the device has each
        self._idle_since = time.monotonic()
        self._seconds: dict[tuple[str, str], float] = {}  # that a batch of a task takes

    def running_for(self) -> float:
        """Seconds that the device has been busy with its batch; 0 when there is none."""
        with self._changed:
            started = next(iter(self._running.values()), None)
        return 0.0 if started is None else time.monotonic() - started

    def idle_for(self) -> float:
        """Seconds that there has been nothing to do; 0 when there is something."""
        with self._changed:
            busy = self._running or self._fair.jobs
            return 0.0 if busy else time.monotonic() - self._idle_since

    def done(self, batch: Batch, unfinished: Sequence[Job]) -> list[Job]:
        """As `WorkerQueue`."""
        with self._changed:
            self._note_end(batch)
            return super().done(batch, unfinished)

    def _delay(self) -> float | None:
        if not self._running or self._fair.has_in_turn(self._fair.task.max_batch):
            return 0.0
        batch, started = next(iter(self._running.items()))
        seconds = self._seconds.get(_key(batch.task))
        if seconds is None:
            return None
        return max(0.0, started + TAKEN_AT * seconds - time.monotonic())

    def _choose(self) -> Batch:
        batch = Batch(self._fair.take_in_turn(self._fair.task.max_batch))
        if batch.parts:
            self._running[batch] = time.monotonic()
        return batch

    def _note_end(self, batch: Batch) -> None:
        now = self._idle_since = time.monotonic()
        is_first = batch is next(iter(self._running))
        seconds, key = now - self._running.pop(batch), _key(batch.task)
        before = self._seconds.get(key, seconds)
        self._seconds[key] = before + _NEWEST * (seconds - before)
        if is_first and self._running:  # the next one's turn on the device begins now
            self._running[next(iter(self._running))] = now
        self._changed.notify_all()


def _key(task: Task) -> tuple[str, str]:
    return task.name, task.model
