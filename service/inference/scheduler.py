"""The batching worker queue between the calls and the networks.

Works whose client has gone are dropped when they are taken, a bad item fails alone, and a worker
that dies fails everything in the queue and is reported so that the process ends.
"""

import asyncio
import os
import sys
import threading
import time
from collections.abc import Awaitable, Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from itertools import islice
from typing import Any, Protocol

import structlog

from model_core.codec.work import CPU, Task, Work
from model_core.engine import BATCHES_AT_ONCE

from ..timings import Attributes, note_batch
from .device_watch import DeviceError, is_lost, until_it_fails, until_overdue, use_one_thread
from .fair_queue import Job, Owner, StreamKey
from .pace import Pace
from .worker_queue import DeviceQueue, LiveQueue, WorkerQueue

logger = structlog.get_logger(__name__)

WORKS_AT_ONCE = 64
"""The most jobs of one stream in the queue: with the permits, it bounds the queue's length."""

CPU_BATCH_SECONDS = 3.0
"""The most audio in a batch on the CPU: what comes meanwhile waits for about a tenth of a second.
Larger ones gain little there (`benchmarks`)."""

LIVE_BATCH_SECONDS = 1.0
"""The most audio in a batch of live steps, of streams that send faster than they are spoken."""

PATIENCE = 10.0
"""Seconds that a stopping service waits for the batches that run."""

_NOT_RUNNING = "the queue is not running"
_STOPPING = "the service is stopping"


class SchedulerError(Exception):
    """The queue takes no work; `stopping` if that is because the service was told to stop."""

    def __init__(self, message: str, stopping: bool = False):
        self.stopping = stopping
        super().__init__(message)


class QueueObserver(Protocol):
    """Is told what the queue does, from any thread."""

    def queue_depth(self, depth: int) -> None:
        """How many works wait."""

    def batch_started(self, task: Task, waited: list[float]) -> None:
        """A batch was taken; its works waited so long (s)."""

    def batch_done(self, task: Task, audio: float, seconds: float) -> None:
        """It held `audio` seconds of audio and took `seconds`."""


class Scheduler:
    """Worker threads for the CPU and, where the networks run on another device, for that."""

    def __init__(
        self,
        threads: int,
        device: str,
        observer: QueueObserver,
        on_death: Callable[[], None] = lambda: None,
        step_timeout: float = 60.0,
        probe: Callable[[], Work | None] = lambda: None,
    ):
        """`on_death` is called on the event loop after a worker died, or the device: a batch on it
        ran for more than `step_timeout` seconds, or a `probe`, which is run there when it is idle
        (unless that is None just then), failed."""
        self._observer = observer
        self.pace = Pace()
        """How fast files are worked on; the steps of live streams do not count."""
        self._on_death = on_death
        self._step_timeout = step_timeout
        self._probe = probe
        self._cpu = WorkerQueue(threads, CPU_BATCH_SECONDS)
        self._live = LiveQueue(threads, LIVE_BATCH_SECONDS)
        # One worker writes a batch while the other's is computed.
        self._device = None if device == CPU else DeviceQueue(BATCHES_AT_ONCE)
        self._queues = [self._cpu, self._live] + ([] if self._device is None else [self._device])
        self._loop: asyncio.AbstractEventLoop | None = None
        self.refusal: str | None = _NOT_RUNNING
        """Why no work is taken; None while it is, all workers live and the device works."""
        self._workers: list[threading.Thread] = []
        self._watches: list[asyncio.Task[None]] = []
        self._jobs: set[Job] = set()  # that have no result yet

    @property
    def depth(self) -> int:
        """Works that wait."""
        return sum(queue.depth for queue in self._queues)

    def start(self) -> None:
        """Start the workers, and watch the device; called on the event loop."""
        self._loop = asyncio.get_running_loop()
        self.refusal = None
        for queue in self._queues:
            for number in range(queue.workers):
                name = f"{queue.kind}-worker-{number}"
                worker = threading.Thread(target=self._work, args=(queue,), name=name, daemon=True)
                worker.start()
                self._workers.append(worker)
        if self._device is not None:
            overdue = until_overdue(self._device, self._step_timeout)
            failure = until_it_fails(self._device, self._probe, self.submit)
            self._watches = [asyncio.create_task(self._watch(w)) for w in (overdue, failure)]

    async def _watch(self, watching: Awaitable[None]) -> None:
        try:
            await watching
        except Exception as error:  # noqa: BLE001  whatever it was, nobody watches any longer
            self._die(error)

    async def stop(self) -> None:
        """Refuse further work, fail what waits, and wait a while for what runs, unless a worker or
        the device has died, which may never finish."""
        alive = self.refusal is None
        if alive:
            self.refusal = _STOPPING
        self._close()
        if alive:
            await asyncio.gather(*(asyncio.to_thread(w.join, PATIENCE) for w in self._workers))
        self._fail_all()

    async def submit(self, work: Work) -> Any:
        """The result of one work of a stream of its own; else as `Stream.run`."""
        (result,) = await self.stream().run([work])
        return result

    def stream(self, owner: Owner | None = None) -> "Stream":
        """A new stream."""
        return Stream(self._enqueue, owner)

    def live_stream(self) -> "Stream":
        """A new stream whose steps on the CPU wait for no other requests'. (What a language model
        codes, a chunk of seconds, is no such step.)"""
        return Stream(self._enqueue_live)

    def _enqueue_live(self, works: Sequence[Work], stream: StreamKey) -> asyncio.Future[list[Any]]:
        task = works[0].task
        steps = task.device == CPU and task.name in ("encode", "decode")
        return self._enqueue(works, stream, self._live if steps else None)

    def _enqueue(
        self, works: Sequence[Work], stream: StreamKey, queue: WorkerQueue | None = None
    ) -> asyncio.Future[list[Any]]:
        if self.refusal is not None:
            raise self._error()
        job = Job(stream, works, asyncio.get_running_loop().create_future())
        self._jobs.add(job)
        job.future.add_done_callback(lambda _: self._jobs.discard(job))
        on_cpu = job.task.device == CPU
        queue = queue or (self._cpu if self._device is None or on_cpu else self._device)
        queue.put(job)
        self._observer.queue_depth(self.depth)
        return job.future

    def _work(self, queue: WorkerQueue) -> None:
        """A worker thread."""
        try:
            _lower_priority(queue.niceness)
            if queue is self._device:
                use_one_thread()
            while batch := queue.take():
                self._observer.queue_depth(self.depth)
                with self._timed(queue, batch):
                    unfinished = self._run(batch, 1 + queue.spare())
                for job in queue.done(batch, unfinished):
                    self._tell(partial(job.fail, self._error()))
        except BaseException as error:  # noqa: BLE001  whatever it was, it ends the service
            self._die(error)

    def _timed(self, queue: WorkerQueue, batch: Sequence[Job]) -> AbstractContextManager[None]:
        if queue is self._live:
            return nullcontext()
        return self.pace.batch(sum(work.cost for job in batch for work in job.part))

    def _run(self, batch: Sequence[Job], threads: int) -> list[Job]:
        """Run a batch on `threads` threads. Returns the jobs that have works left."""
        task = batch[0].task
        works = [work for job in batch for work in job.part]
        started = time.monotonic()
        waited = [started - job.waiting_since for job in batch for _ in job.part]
        self._observer.batch_started(task, waited)
        try:
            results = task.run([work.item for work in works], threads)
            if len(results) != len(works):
                raise ValueError("the task has not answered each work")
        except Exception as error:
            if is_lost(error):
                raise
            if len(batch) > 1:
                return [left for job in batch for left in self._run([job], threads)]
            self._tell(partial(batch[0].fail, error))
            return []
        audio = sum(work.cost for work in works)
        ended = time.monotonic()
        self._observer.batch_done(task, audio, ended - started)
        self._note(batch, audio, started, ended)
        rest = iter(results)
        for job in batch:
            job.results.extend(islice(rest, len(job.part)))
        done = [(job.stream.owner, sum(work.cost for work in job.part)) for job in batch]
        self._tell(partial(_ran, done, [job for job in batch if not job.left]))
        return [job for job in batch if job.left and not job.future.cancelled()]

    def _note(self, batch: Sequence[Job], audio: float, started: float, ended: float) -> None:
        """Have the requests of a batch know when it ran."""
        task = batch[0].task
        attributes: Attributes = {
            "encodec.task": task.name,
            "encodec.model": task.model,
            "encodec.device": task.device,
            "encodec.blocks": sum(len(job.part) for job in batch),
            "encodec.audio_seconds": round(audio, 3),
        }
        members = [(job.stream.timings, job.waiting_since) for job in batch]
        note_batch(members, started, ended, attributes)

    def _tell(self, callback: Callable[[], object]) -> None:
        """Have the event loop call it; once the loop is closed nobody waits for it."""
        if self._loop is not None and not self._loop.is_closed():
            self._loop.call_soon_threadsafe(callback)

    def _die(self, error: BaseException) -> None:
        if isinstance(error, DeviceError):
            logger.critical("the device is lost", error=str(error))
            self.refusal = "the device of the service no longer works"
        else:
            logger.critical("a worker died", exc_info=error)
            self.refusal = "a worker of the service has died"

        def fail_all() -> None:
            self._close()
            self._fail_all()
            self._on_death()

        self._tell(fail_all)

    def _error(self) -> SchedulerError:
        return SchedulerError(self.refusal or _NOT_RUNNING, stopping=self.refusal == _STOPPING)

    def _close(self) -> None:
        """Stop watching the device, and fail what waits."""
        for watch in self._watches:
            watch.cancel()
        for queue in self._queues:
            for job in queue.close():
                job.fail(self._error())
        self._observer.queue_depth(0)

    def _fail_all(self) -> None:
        for job in list(self._jobs):
            job.fail(self._error())


def _lower_priority(niceness: int) -> None:
    """Of this thread, where the system has priorities of threads: Linux (setpriority(2))."""
    if niceness and sys.platform == "linux":
        thread = threading.get_native_id()
        now = os.getpriority(os.PRIO_PROCESS, thread)
        os.setpriority(os.PRIO_PROCESS, thread, now + niceness)


def _ran(done: Sequence[tuple[Owner, float]], finished: Sequence[Job]) -> None:
    for owner, audio in done:
        owner.work_done(audio)
    for job in finished:
        job.succeed()


class Stream(StreamKey):
    """Runs the works of one request in the queue: the `Runner` of its compressor or decompressor.

    The queue is fair between streams, so all works of a request go through one.
    """

    def __init__(
        self,
        enqueue: Callable[[Sequence[Work], StreamKey], asyncio.Future[list[Any]]],
        owner: Owner | None = None,
    ):
        super().__init__(owner)
        self._enqueue = enqueue

    async def run(self, works: Sequence[Work], *, in_order: bool = False) -> list[Any]:
        """As `Runner.run`; raises `SchedulerError` too. Cancelling withdraws the works that do not
        run yet.

        They run at the same time, or with `in_order` one after another, several in one batch where
        that suits the queue.
        """
        if in_order:
            return await self._enqueue(works, self) if works else []
        results: list[Any] = []
        for start in range(0, len(works), WORKS_AT_ONCE):
            futures: list[asyncio.Future[list[Any]]] = []
            try:
                for work in works[start : start + WORKS_AT_ONCE]:
                    futures.append(self._enqueue([work], self))
                results += [result for (result,) in await asyncio.gather(*futures)]
            finally:
                for future in futures:
                    future.cancel()
        return results
