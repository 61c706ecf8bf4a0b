"""The jobs of the service: taken in, found and deleted."""

import asyncio
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, ParamSpec, TypeVar

import structlog
from starlette.types import ASGIApp

from ..cancellation import alongside
from ..http.problems import Problem, ProblemCode
from ..inference.shares import leaves_a_share
from ..metrics import Metrics
from ..pipeline.lookup import digest_mismatch, idempotency_mismatch
from ..pipeline.upload import Upload
from ..settings import Settings
from .files import JobFiles, is_id, new_id, writing
from .job import FINISHED, Input, Job, Order, State

if TYPE_CHECKING:
    from .runner import Runner
    from .store import Store

logger = structlog.get_logger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

_LONGEST_WAIT = 3600  # s that a client is asked to wait at most
_WAIT = 10  # s, where nobody knows when there is room
_LAST = 5.0  # s that a service which stops waits for uploads that have been cut off
_PATIENCE = 40.0  # s for what a request asks of the database: SQLite's lock, and some more


class Jobs:
    """All methods raise `Problem` 503 while the database cannot be used."""

    def __init__(
        self, settings: Settings, store: "Store", files: JobFiles, runner: "Runner", keys: int
    ):
        """`keys`: how many API keys there are, which share the room."""
        self._settings = settings
        self._store = store
        self._files = files
        self._runner = runner
        self._shared = keys > 1
        self._one_by_one = asyncio.Lock()
        self._uploads: set[asyncio.Future[None]] = set()

    def start(self) -> None:
        """On the event loop."""
        self._runner.start()

    async def stop(self) -> None:
        """Puts back what is running, and forgets uploads that have been cut off."""
        await self._runner.stop()
        if self._uploads:
            await asyncio.wait(self._uploads, timeout=_LAST)
        self.close()

    def close(self) -> None:
        """For jobs that were never started."""
        self._store.close()

    async def submit(self, order: Order, upload: Upload | None, said: bytes | None) -> Job:
        """A new job, once its upload is there, or the one that has this `Idempotency-Key`; without
        an upload, its order names a source. `said`: what the client says is the upload's SHA-256.

        Raises `Problem`: 429 where there are too many, 409 and 422 for an `Idempotency-Key` in use
        and of another request, 400 for another digest; and as reading `upload`.
        """
        size = 0 if upload is None else upload.size or 0
        name = order.idempotency_key
        known = None if name is None else await self._do(self._store.named, order.owner, name)
        if known is not None:
            return await self._repeated(known, order, upload, said)  # also where there is no room
        id, lease = new_id(), self._settings.job_lease
        async with self._one_by_one:  # or many at once would all find the last room
            await self._require_room(size, order.owner)
            is_new = await self._do(self._store.reserve, id, order, size, lease)
        if not is_new:
            known = await self._do(self._store.named, order.owner, name or "")
            return await self._repeated(known, order, upload, said)
        with self._receiving():
            received = await self._take_in(id, upload, said)
        self._runner.wake()
        logger.info("a job was taken in", job=id, path=order.path, bytes=received.size)
        job = await self._do(self._store.get, id)
        if job is None:
            raise Problem(ProblemCode.UNAVAILABLE, "the job was deleted at once")
        return job

    @contextmanager
    def _receiving(self) -> Iterator[None]:
        """A block whose end is waited for when the service stops."""
        ended: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._uploads.add(ended)
        try:
            yield
        finally:
            self._uploads.discard(ended)
            ended.set_result(None)

    async def _take_in(self, id: str, upload: Upload | None, said: bytes | None) -> Input:
        """The upload of a new job, which is forgotten where that fails."""
        may_be_queued = False
        try:
            await asyncio.to_thread(self._files.make, id)
            received = await self._receive(id, upload, said)
            may_be_queued = True
            if not await self._do(self._store.enqueue, id, received):
                raise Problem(
                    ProblemCode.UNAVAILABLE, "the upload was taken for one that broke off"
                )
        except BaseException:
            await asyncio.shield(self._drop(id, may_be_queued))
            raise
        return received

    async def find(self, owner: str, id: str) -> Job:
        """Raises `Problem` 404 where an owner has no such job."""
        job = await self._do(self._store.get, id) if is_id(id) else None
        if job is None or job.order.owner != owner or job.state is State.RECEIVING:
            raise Problem(ProblemCode.NOT_FOUND, "there is no such job, or no longer")
        return job

    async def owned(self, owner: str, limit: int) -> Sequence[Job]:
        """The latest jobs of an owner, the latest first."""
        return await self._do(self._store.owned, owner, limit)

    async def delete(self, job: Job) -> None:
        """Cancel it, or forget it where it has ended."""
        if job.state in FINISHED or not await self._do(
            self._store.cancel, job.id, self._settings.job_seconds
        ):
            await self._do(self._store.forget, job.id, *FINISHED)
        self._runner.cancel(job.id)
        await asyncio.to_thread(self._files.remove, job.id)

    def result(self, job: Job) -> Path:
        """The file of a job that is done."""
        return self._files.result(job)

    async def _require_room(self, size: int = 0, owner: str | None = None) -> None:
        """For so many more bytes and, with an `owner`, for a new job of theirs."""
        count, used = await self._do(self._store.usage)
        most, most_bytes = self._settings.max_jobs, self._settings.max_job_bytes
        room = used + size <= most_bytes and (owner is None or count < most)
        if room and owner is not None and self._shared:
            own, own_used = await self._do(self._store.usage, owner)
            room = leaves_a_share(own, most - count)
            room &= leaves_a_share(own_used + size, most_bytes - used - size)
        if room:
            return
        expiry = await self._do(self._store.next_expiry)
        wait = _WAIT if expiry is None else round(expiry - time.time())
        raise Problem(
            ProblemCode.BUSY,
            f"{count} jobs of {used} bytes are kept; {most} of {int(most_bytes)} may be",
            retry_after=max(1, min(wait, _LONGEST_WAIT)),
        )

    async def _receive(self, id: str, upload: Upload | None, said: bytes | None) -> Input:
        if upload is None:
            return Input("", None, None, 0, "")
        async with writing(self._files.input(id)) as file:

            async def keep() -> None:
                size = max(file.size, upload.size or 0)
                await self._do(self._store.keep_receiving, id, size, self._settings.job_lease)
                await self._require_room()

            async def keep_again() -> None:
                while True:
                    await asyncio.sleep(self._settings.job_lease / 4)
                    await keep()

            async with alongside(keep_again()):
                async for chunk in upload.chunks:
                    await file.add(chunk)
                if upload.size is None:  # so nobody knew before
                    await keep()
                await file.sync()
        if said not in (None, file.digest.digest()):
            raise digest_mismatch("the body is not what its digest says")
        received = file.written, file.digest.hexdigest()
        return Input(upload.content_type, upload.filename, upload.size, *received)

    async def _repeated(
        self, job: Job | None, order: Order, upload: Upload | None, said: bytes | None
    ) -> Job:
        """The job that has the `Idempotency-Key` of an order already, if that is the same one."""
        if job is None or job.state is State.RECEIVING or job.input is None:
            detail = "a request with this Idempotency-Key is being received"
            raise Problem(ProblemCode.IDEMPOTENCY_IN_USE, detail, retry_after=1)
        if job.order != order:
            raise idempotency_mismatch()
        if upload is not None:
            digest = sha256()
            async for chunk in upload.chunks:
                digest.update(chunk)
            if said not in (None, digest.digest()):
                raise digest_mismatch("the body is not what its digest says")
            same = upload.content_type, upload.filename, digest.hexdigest()
            if same != (job.input.content_type, job.input.filename, job.input.digest):
                raise idempotency_mismatch()
        return job

    async def _drop(self, id: str, may_be_queued: bool) -> None:
        """A job whose upload broke off. One that is queued after all, since the database's answer
        was lost, keeps its input."""
        if not may_be_queued:  # first: the database may need the room
            await asyncio.to_thread(self._files.remove, id)
        try:
            if await self._do(self._store.forget, id, State.RECEIVING):
                await asyncio.to_thread(self._files.remove, id)
        except Problem:
            logger.error("a job that was not received is forgotten later", job=id)

    async def _do(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        from .store import StoreError

        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._store.call(work, *arguments, **named)
        except (*StoreError, TimeoutError) as error:
            logger.error("the database of jobs cannot be used", error=str(error) or "it hangs")
            detail = "the database of jobs cannot be used"
            raise Problem(ProblemCode.UNAVAILABLE, detail) from error


def open_jobs(
    app: ASGIApp, settings: Settings, metrics: Metrics, ready: Callable[[], bool], keys: int
) -> Jobs | None:
    """The jobs of an app with so many API keys, which answers while it is `ready`; None where there
    are none. Raises `ValueError` where they cannot be kept."""
    if settings.jobs_dir is None:
        return None
    try:
        from .database import sqlite_url
        from .runner import Runner
        from .store import Store, StoreError
    except ImportError as error:
        hint = "pip install 'encodec-service[jobs]'"
        raise ValueError(f"jobs need packages that are not installed ({hint}): {error}") from error
    if settings.webhook_urls and settings.webhook_secret is None:
        raise ValueError("webhooks need a secret to be signed with: ENCODEC_WEBHOOK_SECRET")
    database = settings.jobs_database
    try:
        files = JobFiles(settings.jobs_dir)
        url = sqlite_url(str(settings.jobs_dir / "jobs.sqlite3"))
        store = Store(url if database is None else database.get_secret_value())
    except (OSError, *StoreError, ImportError, ValueError) as error:
        raise ValueError(f"jobs cannot be kept: {error}") from error
    return Jobs(settings, store, files, Runner(app, settings, store, files, metrics, ready), keys)
