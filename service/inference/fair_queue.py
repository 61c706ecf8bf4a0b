"""The order of what waits: fair between streams, batched by task."""

import heapq
import itertools
import math
import time
from typing import NamedTuple
from weakref import WeakKeyDictionary

from model_core.codec.work import Task, Work

from .batch import Job, Part, StreamKey


class _Place(NamedTuple):
    """Where a job's next work stands on the clock; first come, first served among those that end
    at the same time."""

    end: float
    number: int
    start: float
    job: Job
    number_of_work: int

    @property
    def work(self) -> Work:
        return self.job.works[self.number_of_work]


class FairQueue:
    """Works are taken in the order of their end on a virtual clock of audio-seconds.

    The works of a stream follow one another on the clock, whenever they come; those of a new stream
    start at the clock's present time, so they are taken between the others' works and not after
    them (weighted fair queueing, all weights equal). The clock advances by the audio that is taken,
    divided by the number of streams that wait, so that new streams keep no stream waiting forever;
    it never stays behind the streams that wait.

    A job that is taken leaves the queue, even if it has works left: it is put in again when those
    that were taken have run. Not thread-safe.
    """

    def __init__(self) -> None:
        self._heaps: dict[int, list[_Place]] = {}  # by the task's id
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
        end = start + job.works[job.done].cost
        self._ends[job.stream] = end
        heap = self._heaps.setdefault(id(job.task), [])
        heapq.heappush(heap, _Place(end, next(self._numbers), start, job, job.done))
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

    def take_one_each(self, most: int, seconds: float) -> list[Part]:
        """The next work of each job of that task: of `most` jobs, and no more audio than `seconds`,
        unless a single one has."""
        return self._take(most, seconds, again=False)

    def take_in_turn(self, most: int, seconds: float = math.inf) -> list[Part]:
        """The next works of that task one after another, so several of a job where its turn comes
        again before the others': `most` works, and no more audio than `seconds`, unless a single
        one has."""
        return self._take(most, seconds, again=True)

    def clear(self) -> list[Job]:
        """Nothing waits any longer; returns the jobs that did, in their order."""
        left = [place.job for heap in self._heaps.values() for place in sorted(heap)]
        self._heaps.clear()
        self.jobs = self.works = 0
        return left

    def _heap(self) -> list[_Place]:
        """Of the task whose turn it is."""
        return min(self._heaps.values(), key=lambda heap: heap[0][:2])

    def _take(self, most: int, seconds: float, again: bool) -> list[Part]:
        heap = self._heap()
        task_id = id(heap[0].job.task)
        taken, gone = self._pop(heap, most, seconds, again)
        # The next works of jobs that were taken are not in the queue until those taken have run.
        if again and any(count < job.left for job, count in taken.items()):
            heap[:] = [place for place in heap if place.job not in taken]
            heapq.heapify(heap)
        if not heap:
            del self._heaps[task_id]
        for job in (*gone, *taken):
            self.jobs -= 1
            self.works -= job.left
        parts = [Part(job, job.works[job.done : job.done + count]) for job, count in taken.items()]
        self._move_on(parts)
        return parts

    def _pop(
        self, heap: list[_Place], most: int, seconds: float, again: bool
    ) -> tuple[dict[Job, int], list[Job]]:
        """How many works of which jobs are next, and the jobs on the way whose clients have gone.
        With `again`, a job's next work is put into the heap each time one is taken."""
        taken: dict[Job, int] = {}
        gone: list[Job] = []
        works, audio = 0, 0.0
        while heap and works < most:
            place = heap[0]
            job, work = place.job, place.work
            if job.future.cancelled():
                heapq.heappop(heap)
                taken.pop(job, None)  # it may go at any moment
                gone.append(job)
                continue
            audio += work.cost
            if works and audio > seconds:
                break
            heapq.heappop(heap)
            works += 1
            taken[job] = taken.get(job, 0) + 1
            self._ends[job.stream] = max(self._ends[job.stream], place.end)
            if again and place.number_of_work + 1 < len(job.works):
                heapq.heappush(heap, self._after(place))
        return taken, gone

    def _after(self, place: _Place) -> _Place:
        """The place of the job's next work."""
        following = place.number_of_work + 1
        end = place.end + place.job.works[following].cost
        return _Place(end, next(self._numbers), place.end, place.job, following)

    def _move_on(self, parts: list[Part]) -> None:
        """Advance the clock by what is taken, divided among all who wait."""
        done = sum(work.cost for part in parts for work in part.works)
        self._clock += done / (len(parts) + self.jobs + 1)
        starts = [place.start for heap in self._heaps.values() for place in heap]
        if starts:
            self._clock = max(self._clock, min(starts))
