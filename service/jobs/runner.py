"""What works on jobs: takes them, begins them again where their replica died, forgets them when
they have expired, and tells their webhooks.

A replica says every second that it is alive and how far its jobs are. Where it has not been heard
of for the lease, another one, or the same after a restart, begins its jobs again from their inputs.
What was asked to stop puts them back at once.
"""

import asyncio
from collections.abc import Callable, Coroutine
from contextlib import suppress
from typing import Any

import structlog
from starlette.types import ASGIApp

from ..cancellation import create_task_apart
from ..http.problems import Problem, ProblemCode
from ..metrics import Metrics
from ..pipeline.upload import StoredUpload
from ..settings import Settings
from .files import JobFiles
from .job import Input, Job, Progress, State, running_at_once
from .replay import Replay, Result
from .store import Store, StoreError
from .transfer import fetch, put
from .webhooks import AT_ONCE, Webhooks

logger = structlog.get_logger(__name__)


_BEAT = 1.0  # s between two signs of life
_SWEEP = 60.0  # s
_LAST = 5.0  # s that a service which stops waits for the database
_MOST_TRIES = 3
_LATER = {
    ProblemCode.BUSY: 2.0,
    ProblemCode.QUOTA_EXCEEDED: 2.0,
    ProblemCode.WAITED_TOO_LONG: 2.0,
    ProblemCode.STARTING: 1.0,
    ProblemCode.SHUTTING_DOWN: 1.0,
}
"""What may be tried again without end, and after how many seconds; the owner's other jobs wait as
long, which would most likely be answered the same."""
_LONGEST_WAIT = 60.0
"""s, where the answer says that it takes so long."""
_SOME_TIMES = 10.0
"""s after which a job is tried again that could not be worked on, `_MOST_TRIES` times."""
_MAY_CHANGE = (
    ProblemCode.UNAVAILABLE,
    ProblemCode.UNAUTHORIZED,  # a replica that started before the key was added
)


class Runner:
    """The jobs of one replica."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        store: Store,
        files: JobFiles,
        metrics: Metrics,
        ready: Callable[[], bool],
    ):
        """`app` answers the requests; `ready`: whether it does so now."""
        self._app = app
        self._settings = settings
        self._store = store
        self._files = files
        self._metrics = metrics
        self._ready = ready
        self._beat = min(_BEAT, settings.job_lease / 4)
        self._work = asyncio.Event()
        self._attempts: dict[str, asyncio.Task[Result]] = {}
        self._loops: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """On the event loop."""
        loops = [self._run_jobs] * running_at_once(self._settings) + [self._sweep]
        if self._settings.webhook_urls:
            loops += [Webhooks(self._store, self._settings).tell] * AT_ONCE
        self._loops = [create_task_apart(_forever(loop)) for loop in loops]

    async def stop(self) -> None:
        """Puts the jobs back that are running."""
        for loop in self._loops:
            loop.cancel()
        if self._loops:
            await asyncio.wait(self._loops)

    def wake(self) -> None:
        """There is a new job."""
        self._work.set()

    def cancel(self, id: str) -> None:
        """End a job that is running here; the store knows already that it is no longer."""
        if id in self._attempts:
            self._attempts[id].cancel()

    async def _run_jobs(self) -> None:
        job = None
        if self._ready():
            job = await self._store.call(self._store.take, self._settings.job_lease)
        if job is not None:
            await self._run(job)
            return
        self._work.clear()
        with suppress(TimeoutError):
            async with asyncio.timeout(self._beat):
                await self._work.wait()

    async def _run(self, job: Job) -> None:
        replay = Replay(job, _stored(job, self._files))
        if job.tries > _MOST_TRIES:
            detail = f"it was begun {_MOST_TRIES} times, and the service ended each time"
            await self._fail(job, replay, Problem(ProblemCode.JOB_INTERRUPTED, detail))
            return
        attempt = self._attempts[job.id] = create_task_apart(self._attempt(replay))
        try:
            await self._watch(job, replay, attempt)
            error = None if attempt.cancelled() else attempt.exception()
            if not await self._store.insist(self._renew, job, replay):
                await self._clean_up(job)
            elif await self._store.insist(self._overflows, replay):
                await self._fail(job, replay, _full())
            elif attempt.cancelled():  # it was too large, and others have made room
                await self._store.insist(self._store.put_back, job, 0.0, True)
            elif error is None:
                await self._done(job, replay, attempt.result())
            elif isinstance(error, Problem):
                await self._failed(job, replay, error)
            else:
                logger.error("a job failed", job=job.id, exc_info=error)
                detail = "an unexpected error; the service's log says more"
                await self._fail(job, replay, Problem(ProblemCode.INTERNAL_ERROR, detail))
        except asyncio.CancelledError:  # the service stops
            attempt.cancel()
            await asyncio.gather(attempt, return_exceptions=True)
            with suppress(*StoreError, TimeoutError):  # or else others wait for the lease
                async with asyncio.timeout(_LAST):
                    await self._store.call(self._store.put_back, job, 0.0, good=True)
            raise
        finally:
            if self._attempts.get(job.id) is attempt:  # and not one that was begun after it
                del self._attempts[job.id]

    async def _attempt(self, replay: Replay) -> Result:
        job, order = replay.job, replay.job.order
        result = self._files.result(job)
        try:
            if order.source is not None and not replay.stored.size:
                await self._fetch(order.source, replay)
            try:
                answer = await replay.run(self._app, result)
            except BaseException:
                # at once: the database may need the room to say that the job has failed
                result.unlink(missing_ok=True)
                raise
            if order.destination is not None:
                await put(result, order.destination, self._settings)
        except OSError as error:
            detail = "the disk of jobs cannot be used"
            raise Problem(ProblemCode.INSUFFICIENT_STORAGE, detail) from error
        return answer

    async def _fetch(self, source: str, replay: Replay) -> None:
        """Its input, which is then kept for further attempts."""
        job, stored = replay.job, replay.stored
        part = self._files.fetching(job)
        found = await fetch(source, part, self._settings)
        await asyncio.to_thread(part.replace, stored.path)
        stored.content_type, stored.filename = found.content_type, found.filename
        stored.declared = stored.size = found.size
        await self._store.insist(self._store.fetched, job, found)
        await self._store.insist(self._renew, job, replay)
        if await self._store.insist(self._is_full):
            raise _full()

    async def _watch(self, job: Job, replay: Replay, attempt: asyncio.Task[Result]) -> None:
        """Until it ends; ends it where it no longer counts, or takes too much room."""
        while not (await asyncio.wait([attempt], timeout=self._beat))[0]:
            try:
                counts = await self._store.call(self._renew, job, replay)
                if not counts or await self._store.call(self._overflows, replay):
                    attempt.cancel()
            except StoreError as error:
                logger.error("the database of jobs cannot be used", error=str(error))

    def _renew(self, job: Job, replay: Replay) -> bool:
        """Whether the attempt still counts; in a thread."""
        size = replay.stored.size
        if not size:  # it is being fetched
            with suppress(OSError):
                size = self._files.fetching(job).stat().st_size
        size += replay.written
        return self._store.renew(job, replay.progress(), size, self._settings.job_lease)

    def _overflows(self, replay: Replay) -> bool:
        """Whether an input that is being fetched, or a result that is larger than its input, makes
        all take too much room; in a thread, after `_renew`."""
        return self._is_full() and replay.written >= replay.stored.size

    def _is_full(self) -> bool:
        _, used = self._store.usage()
        return used > self._settings.max_job_bytes

    async def _done(self, job: Job, replay: Replay, result: Result) -> None:
        progress = Progress(replay.progress().seconds, 1.0)
        made = {"result_bytes": result.size, "headers": result.headers, "etag": result.etag}
        if await self._ended(job, progress, **made):
            await asyncio.to_thread(self._files.keep_only, self._files.result(job))
            self._metrics.jobs_ended.labels(State.DONE).inc()
            logger.info("a job is done", job=job.id, seconds=round(progress.seconds, 3))

    async def _ended(self, job: Job, progress: Progress, **outcome: Any) -> bool:
        """Whether the attempt still counted."""
        finish, kept_for = self._store.finish, self._settings.job_seconds
        counts = await self._store.insist(finish, job, kept_for, progress=progress, **outcome)
        if not counts:
            await self._clean_up(job)
        return counts

    async def _failed(self, job: Job, replay: Replay, problem: Problem) -> None:
        """Where it may go better later, it is put back."""
        after = _LATER.get(problem.code)
        good = after is not None
        if after is None and problem.code in _MAY_CHANGE and job.tries < _MOST_TRIES:
            after = _SOME_TIMES
        if after is None:
            await self._fail(job, replay, problem)
            return
        if problem.code is ProblemCode.QUOTA_EXCEEDED:
            after = min(max(after, int(problem.headers.get("Retry-After", 0))), _LONGEST_WAIT)
        await self._store.insist(self._store.put_back, job, after, good)
        if good:
            await self._store.insist(self._store.postpone, job.order.owner, after)
        with suppress(OSError):
            self._files.result(job).unlink(missing_ok=True)

    async def _fail(self, job: Job, replay: Replay, problem: Problem) -> None:
        document = problem.document().model_dump(mode="json", exclude_none=True)
        if await self._ended(job, replay.progress(), problem=document):
            await asyncio.to_thread(self._files.remove, job.id)
            self._metrics.jobs_ended.labels(State.FAILED).inc()
            logger.info("a job failed", job=job.id, code=problem.code, detail=problem.detail)

    async def _clean_up(self, job: Job) -> None:
        """After an attempt that no longer counts."""
        now = await self._store.insist(self._store.get, job.id)
        if now is None or now.state in (State.CANCELLED, State.FAILED):
            await asyncio.to_thread(self._files.remove, job.id)
        else:
            with suppress(OSError):
                self._files.result(job).unlink(missing_ok=True)

    async def _sweep(self) -> None:
        for id in await self._store.call(self._store.overdue):
            if await self._store.call(self._store.forget_overdue, id):
                await asyncio.to_thread(self._files.remove, id)
        self._metrics.jobs_kept(await self._store.call(self._store.states))
        ids = await self._store.call(self._store.ids)
        await asyncio.to_thread(self._files.remove_orphans, ids)
        await asyncio.sleep(min(_SWEEP, self._settings.job_lease, self._settings.job_seconds))


def _full() -> Problem:
    detail = "its files and those of other jobs are larger than all may be together"
    return Problem(ProblemCode.INSUFFICIENT_STORAGE, detail)


def _stored(job: Job, files: JobFiles) -> StoredUpload:
    received = job.input or Input("", None, None, 0, "")
    path = files.input(job.id)
    return StoredUpload(
        path, received.content_type, received.filename, received.declared, received.size
    )


async def _forever(work: Callable[[], Coroutine[Any, Any, None]]) -> None:
    """`work` again and again, whatever fails."""
    while True:
        try:
            await work()
        except StoreError as error:
            logger.error("the database of jobs cannot be used", error=str(error))
            await asyncio.sleep(_BEAT)
        except Exception:
            logger.exception("unexpected error", work=work.__name__)
            await asyncio.sleep(_BEAT)
