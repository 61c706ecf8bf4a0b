"""What streams put into the queue, and its order: fair between streams, batched by task."""

import asyncio
import heapq
import itertools
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary

from model_core.codec.work import Task, Work

from ..timings import Timings


class Owner:
    """For whom a stream works. This one is nobody in particular."""

    @property
    def weight(self) -> float:
        """The stream's share of the queue, where 1 is usual; asked from any thread."""
        return 1.0

    def work_done(self, audio: float) -> None:
        """So many audio-seconds of work were done; told on the event loop."""


class StreamKey:
    """A stream, as the queue knows it."""

    timings: Timings | None = None
    """Of the request whose stream it is."""

    def __init__(self, owner: Owner | None = None):
        self.owner = owner or Owner()


@dataclass(eq=False)
class Job:
    """Works of one stream and one task that run in their order, however many at a time, and the
    future that gets their results.

    The future belongs to the event loop; a worker only asks it whether it was cancelled.
    """

    stream: StreamKey
    works: Sequence[Work]
    future: asyncio.Future[list[Any]]
    part: Sequence[Work] = ()
    """Those in the batch that it was last taken for."""
    results: list[Any] = field(default_factory=list)
    """Of the works that have run."""
    waiting_since: float = 0.0
    """On the monotonic clock: when it was last put into the queue."""

    @property
    def task(self) -> Task:
        return self.works[0].task

    @property
    def left(self) -> int:
        """How many works have not run yet."""
        return len(self.works) - len(self.results)

    def succeed(self) -> None:
        if not self.future.done():
            self.future.set_result(self.results)

    def fail(self, error: Exception) -> None:
        if isinstance(error, StopIteration):  # a future cannot carry it
            error = RuntimeError(f"the work raised {error!r}")
        if not self.future.done():
            self.future.set_exception(error)


class _Slot(NamedTuple):
    """Where a work stands on the clock; first come, first served among those that end at the same
    time."""

    end: float
    number: int
    start: float
    job: Job
    number_of_work: int


class FairQueue:
    """Works are taken in the order of their end on a virtual clock of audio-seconds.

    The works of a stream follow one another on the clock, whenever they come; those of a new stream
    start at the clock's present time, so they are taken between the others' works and not after
    them (weighted fair queueing; the weights are about 1 on average). The clock advances by the
    audio that is taken, divided by the number of streams that wait, so that new streams keep no
    stream waiting forever; it never stays behind the streams that wait.

    A job that is taken leaves the queue, even if it has works left: it is put in again when those
    that were taken have run. Not thread-safe.
    """

    def __init__(self) -> None:
        self._heaps: dict[int, list[_Slot]] = {}  # by the task's id
        self._numbers = itertools.count()
        self._ends: WeakKeyDictionary[StreamKey, float] = WeakKeyDictionary()
        self._clock = 0.0
        self.jobs = 0
        """How many wait, those of clients that have gone included."""
        self.works = 0
        """How many wait, all those of a job counted."""

    def put(self, job: Job) -> None:
        """Have what is left of it wait."""
        job.waiting_since = time.monotonic()
        start = max(self._clock, self._ends.get(job.stream, 0.0))
        if not self.jobs:
            self._clock = start  # never behind all that wait
        place = self._place(job, len(job.results), start)
        self._ends[job.stream] = place.end
        heapq.heappush(self._heaps.setdefault(id(job.task), []), place)
        self.jobs += 1
        self.works += job.left

    @property
    def task(self) -> Task:
        """Whose turn it is. Raises `ValueError` when nothing waits."""
        return self._heap()[0].job.task

    @property
    def jobs_in_turn(self) -> int:
        """How many wait for that task."""
        return len(self._heap())

    def has_in_turn(self, works: int) -> bool:
        """Whether so many works wait for that task."""
        waiting = itertools.accumulate(place.job.left for place in self._heap())
        return any(count >= works for count in waiting)

    def take(self, most: int, seconds: float = math.inf, *, one_each: bool = False) -> list[Job]:
        """Jobs of that task, each with its `part`: `most` works one after another, and no more
        audio than `seconds`, unless a single one has. Several are of one job where its turn comes
        again before the others', unless it is `one_each`. Empty where all clients have gone."""
        heap = self._heap()
        task_id = id(heap[0].job.task)
        taken, gone = self._pop(heap, most, seconds, one_each)
        # The next works of jobs that were taken are not in the queue until those taken have run.
        if not one_each and any(count < job.left for job, count in taken.items()):
            heap[:] = [place for place in heap if place.job not in taken]
            heapq.heapify(heap)
        if not heap:
            del self._heaps[task_id]
        for job in (*gone, *taken):
            self.jobs -= 1
            self.works -= job.left
        for job, count in taken.items():
            done = len(job.results)
            job.part = job.works[done : done + count]
        batch = list(taken)
        self._move_on(batch)
        return batch

    def clear(self) -> list[Job]:
        """Nothing waits any longer; returns the jobs that did, in their order."""
        left = [place.job for heap in self._heaps.values() for place in sorted(heap)]
        self._heaps.clear()
        self.jobs = self.works = 0
        return left

    def _heap(self) -> list[_Slot]:
        """Of the task whose turn it is."""
        return min(self._heaps.values(), key=lambda heap: heap[0][:2])

    def _place(self, job: Job, index: int, start: float) -> _Slot:
        end = start + job.works[index].cost / job.stream.owner.weight
        return _Slot(end, next(self._numbers), start, job, index)

    def _pop(
        self, heap: list[_Slot], most: int, seconds: float, one_each: bool
    ) -> tuple[dict[Job, int], list[Job]]:
        """How many works of which jobs are next, and the jobs on the way whose clients have gone.
        Unless `one_each`, a job's next work is put into the heap each time one is taken."""
        taken: dict[Job, int] = {}
        gone: list[Job] = []
        works, audio = 0, 0.0
        while heap and works < most:
            end, _, _, job, index = heap[0]
            if job.future.cancelled():
                heapq.heappop(heap)
                taken.pop(job, None)  # it may go at any moment
                gone.append(job)
                continue
            audio += job.works[index].cost
            if works and audio > seconds:
                break
            heapq.heappop(heap)
            works += 1
            taken[job] = taken.get(job, 0) + 1
            self._ends[job.stream] = max(self._ends[job.stream], end)
            if not one_each and index + 1 < len(job.works):
                heapq.heappush(heap, self._place(job, index + 1, end))
        return taken, gone

    def _move_on(self, batch: Sequence[Job]) -> None:
        """Advance the clock by what is taken, divided among all who wait."""
        done = sum(work.cost for job in batch for work in job.part)
        self._clock += done / (len(batch) + self.jobs + 1)
        starts = [place.start for heap in self._heaps.values() for place in heap]
        if starts:
            self._clock = max(self._clock, min(starts))
