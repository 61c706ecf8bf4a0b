"""The batching worker queue between the calls and the networks.

Streams hand in work; a batch is whatever waits for the same task, at most as much as the task
takes, never held back by a timer; worker threads run it and the results go back to the event
loop. Work whose client has gone is dropped when it is taken, a bad item fails alone, and a worker
that dies fails everything that was handed in and is reported to whoever ends the process.
"""

import asyncio
import bisect
import itertools
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Protocol, TypeVar

import structlog
import torch

from model_core.codec.work import InOrder, Steps, Task, Wanted, Work
from model_core.engine import BATCHES_AT_ONCE

from .lane import Job, Lane, Turn

T = TypeVar("T")
logger = structlog.get_logger(__name__)

WORKS_AT_ONCE = 64
"""The most work of one stream in the queue: with the permits, it bounds the queue's length."""

CPU_BATCH_SECONDS = 3.0
"""The most audio in a batch on the CPU: what comes meanwhile waits for about a tenth of a second.
Larger ones gain little there (`benchmarks`)."""

PATIENCE = 10.0
"""Seconds that a stopping service waits for the batches that run."""

# Once one of these was raised the device answers nothing more in this process.
_FATAL = (torch.AcceleratorError,)


class SchedulerError(Exception):
    """The queue takes no work; `stopping` if because the service was told to stop."""

    def __init__(self, message: str, stopping: bool = False):
        self.stopping = stopping
        super().__init__(message)


class QueueObserver(Protocol):
    """Told what the queue does, from any thread."""

    def queue_depth(self, depth: int) -> None:
        """How many items wait."""

    def batch_started(self, task: Task, waited: list[float]) -> None:
        """A batch was taken; its items waited so long (s)."""

    def batch_done(self, task: Task, audio: float, seconds: float) -> None:
        """It held `audio` seconds of audio and took `seconds`."""


class Scheduler:
    """Worker threads on a CPU; for a CUDA device its own, beside those for the language models."""

    def __init__(
        self,
        threads: int,
        cuda: bool,
        observer: QueueObserver,
        on_death: Callable[[], None] = lambda: None,
    ):
        """`on_death` is called on the event loop after a worker died."""
        self._observer = observer
        self._on_death = on_death
        self._cpu = Lane(threads, CPU_BATCH_SECONDS)
        # One worker writes a batch while the other's is computed.
        self._device = Lane(BATCHES_AT_ONCE, divide=False) if cuda else self._cpu
        self._loop: asyncio.AbstractEventLoop | None = None
        self._refusal: str | None = "the queue is not running"
        self._stopping = False
        self._workers: list[threading.Thread] = []

    @property
    def healthy(self) -> bool:
        """Whether work is taken and all workers live."""
        return self._refusal is None

    @property
    def depth(self) -> int:
        """Items that wait."""
        return sum(lane.depth for lane in self._lanes)

    @property
    def _lanes(self) -> list[Lane]:
        return [self._cpu] if self._device is self._cpu else [self._cpu, self._device]

    def start(self) -> None:
        """Start the workers; called on the event loop."""
        self._loop = asyncio.get_running_loop()
        self._refusal = None
        for lane in self._lanes:
            for number in range(lane.threads):
                name = f"{'device' if lane is not self._cpu else 'cpu'}-worker-{number}"
                worker = threading.Thread(target=self._work, args=(lane,), name=name, daemon=True)
                worker.start()
                self._workers.append(worker)

    async def stop(self) -> None:
        """Refuse further work, fail what waits, and wait a while for what runs."""
        if self._refusal is None:
            self._refusal, self._stopping = "the service is stopping", True
        self._fail_waiting()
        workers, self._workers = self._workers, []
        await asyncio.gather(*(asyncio.to_thread(w.join, PATIENCE) for w in workers))

    async def submit(self, work: Work, turn: Turn | None = None) -> Any:
        """The result of one piece of work; raises what the work raises, or `SchedulerError`.

        Cancelling it withdraws the work, unless it runs already.
        """
        results = await self._enqueue([work], turn or Turn())
        return results[0]

    async def drive(self, steps: Steps[T], turn: Turn | None = None) -> T:
        """Run a stream's work through the queue; returns what the stream returns. With the `turn`
        that it had before it goes on where it stood.

        Works of one list run concurrently. An error is raised inside the stream, where it
        stands; cancelling closes the stream and withdraws its work.
        """
        turn = turn or Turn()
        try:
            wanted = next(steps)
            while True:
                try:
                    results = await self._run_all(wanted, turn)
                except Exception as error:  # noqa: BLE001  the stream is to see whatever it was
                    wanted = steps.throw(error)
                else:
                    wanted = steps.send(results)
        except StopIteration as done:
            result: T = done.value
            return result
        finally:
            steps.close()

    async def _run_all(self, wanted: Wanted, turn: Turn) -> list[Any]:
        if isinstance(wanted, InOrder):
            return await self._run_sequel(wanted, turn)
        results: list[Any] = []
        for start in range(0, len(wanted), WORKS_AT_ONCE):
            futures: list[asyncio.Future[list[Any]]] = []
            try:
                for work in wanted[start : start + WORKS_AT_ONCE]:
                    futures.append(self._enqueue([work], turn))
                results += [result for (result,) in await asyncio.gather(*futures)]
            finally:
                for future in futures:
                    future.cancel()
        return results

    async def _run_sequel(self, wanted: InOrder, turn: Turn) -> list[Any]:
        """One work at a time, so that streams share batches; where no other stream is there to
        share with, as many as a batch may have, which idle workers then share."""
        results: list[Any] = []
        while len(results) < len(wanted):
            rest = wanted.works[len(results) :]
            lane = self._lane_of(rest[0])
            some = _within(rest, lane.batch_seconds) if lane.quiet else rest[:1]
            future = self._enqueue(some, turn)
            try:
                results += await future
            finally:
                future.cancel()
        return results

    def _lane_of(self, work: Work) -> Lane:
        return self._cpu if work.task.name.startswith("lm_") else self._device

    def _enqueue(self, works: Sequence[Work], turn: Turn) -> asyncio.Future[list[Any]]:
        if self._refusal is not None:
            raise self._error()
        job = Job(works, asyncio.get_running_loop().create_future())
        self._lane_of(works[0]).put(job, turn)
        self._observer.queue_depth(self.depth)
        return job.future

    def _work(self, lane: Lane) -> None:
        """A worker thread. One torch thread each: sums are then always taken in one order."""
        batch: list[Job] = []
        try:
            torch.set_num_threads(1)
            while batch := lane.take():
                self._observer.queue_depth(self.depth)
                self._run(batch, 1 + lane.spare())
        except BaseException as error:  # noqa: BLE001  whatever it was, it ends the service
            self._die(error, batch)

    def _run(self, batch: list[Job], threads: int) -> None:
        """With the threads of workers that have nothing to do."""
        task = batch[0].task
        started = time.monotonic()
        self._observer.batch_started(task, [started - job.queued_at for job in batch])
        try:
            items = [work.item for job in batch for work in job.works]
            done = _shared_out(batch, task.run(items, threads))
        except _FATAL:
            raise
        except Exception as error:  # noqa: BLE001  an item's error belongs to its stream
            if len(batch) > 1:
                for job in batch:
                    self._run([job], threads)
                return
            self._tell(partial(batch[0].fail, error))
            return
        audio = sum(job.cost for job in batch)
        self._observer.batch_done(task, audio, time.monotonic() - started)
        self._tell(partial(_succeed, done))

    def _tell(self, callback: Callable[[], object]) -> None:
        """Have the event loop call it; nobody waits any more once the loop is closed."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _die(self, error: BaseException, batch: list[Job]) -> None:
        logger.critical("a worker died", exc_info=error)
        self._refusal, self._stopping = "a worker of the service has died", False

        def bury() -> None:
            for job in batch:
                job.fail(self._error())
            self._fail_waiting()
            self._on_death()

        self._tell(bury)

    def _error(self) -> SchedulerError:
        return SchedulerError(self._refusal or "the queue is not running", self._stopping)

    def _fail_waiting(self) -> None:
        for lane in self._lanes:
            for job in lane.close():
                job.fail(self._error())
        self._observer.queue_depth(0)


def _within(works: Sequence[Work], seconds: float) -> Sequence[Work]:
    """As many as hold that much audio; one at least."""
    total = list(itertools.accumulate(work.cost for work in works))
    return works[: max(1, bisect.bisect_right(total, seconds))]


def _shared_out(batch: list[Job], results: list[Any]) -> list[tuple[Job, list[Any]]]:
    """To each job its own. Raises `ValueError` where there are not as many as works."""
    if len(results) != sum(len(job.works) for job in batch):
        raise ValueError("the task has not answered each work")
    rest = iter(results)
    return [(job, list(itertools.islice(rest, len(job.works)))) for job in batch]


def _succeed(done: list[tuple[Job, list[Any]]]) -> None:
    for job, results in done:
        job.succeed(results)
