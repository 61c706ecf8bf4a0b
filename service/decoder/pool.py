"""Where decoding children come from: a warm process, and one child forked ahead."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from model_core.audio import RawFormat

from .decoder import Decoder
from .fork_client import DecoderError, ForkServer
from .forked import Child
from .protocol import Job

logger = structlog.get_logger(__name__)


class DecoderPool:
    """The source of decoding processes; one for the server, used from one event loop.

    One child is forked ahead and waits for its job, so that an upload that comes alone does not
    wait for a fork; the next one is forked when that upload is done, not to compete with it.
    `spool_dir` is where uploads are kept while they are decoded (the system's temporary folder
    unless given). The warm process is started again whenever it is lost; `on_failure` is called
    where it does not come back.
    """

    def __init__(
        self, spool_dir: Path | None = None, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self.spool_dir = spool_dir
        self._on_failure = on_failure
        self._restart: asyncio.Task[None] | None = None
        self._zygote: ForkServer | None = None
        self._closed = False
        self._starting = asyncio.Lock()
        self._ahead: asyncio.Task[Child] | None = None

    async def start(self) -> None:
        """Starts the warm process and waits until it is ready (seconds).

        Raises `DecoderError` when it does not come up.
        """
        await self._warm()
        self._fork_ahead()

    @property
    def running(self) -> bool:
        """Whether the warm process is there."""
        return self._zygote is not None and not self._zygote.gone

    async def close(self) -> None:
        """Ends the warm process and with it every child, for good."""
        self._closed = True
        if self._restart is not None:
            self._restart.cancel()
        self._drop_ahead()
        async with self._starting:
            if self._zygote is not None:
                await self._zygote.close()
                self._zygote = None

    @asynccontextmanager
    async def open(
        self,
        sample_rate: int,
        channels: int,
        raw: RawFormat | None = None,
        max_seconds: float | None = None,
        size: int | None = None,
    ) -> AsyncIterator[Decoder]:
        """A decoding process for one upload.

        `size` is the length of the upload in bytes where it is known beforehand. Raises
        `DecoderError` when there is none to be had.
        """
        job = Job(sample_rate, channels, raw, max_seconds, size)
        try:
            async with Decoder(self._begin, self.spool_dir, job) as process:
                yield process
        finally:
            self._fork_ahead()

    async def _begin(self, job: Job, upload: int) -> Child:
        """A child with that job. Raises `DecoderError` when there is none to be had, even
        after the warm process has been replaced."""
        try:
            return await self._begin_once(job, upload)
        except DecoderError:
            return await self._begin_once(job, upload)

    async def _begin_once(self, job: Job, upload: int) -> Child:
        mine = self._ahead or asyncio.create_task(self._fork())
        self._ahead = None
        try:
            child = await mine
        except BaseException:
            _drop(mine)
            raise
        child.begin(job, upload)
        return child

    def _fork_ahead(self) -> None:
        if self._ahead is None and self.running and not self._closed:
            self._ahead = asyncio.create_task(self._fork())

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            _drop(self._ahead)
            self._ahead = None

    async def _fork(self) -> Child:
        return await Child.fork(await self._warm())

    async def _warm(self) -> ForkServer:
        """The warm process, started again if it has gone. Raises `DecoderError`."""
        async with self._starting:
            if self._closed:
                raise DecoderError("the audio decoder is not running")
            if self._zygote is not None and self._zygote.gone:
                await self._zygote.close()
                self._zygote = None
            if self._zygote is None:
                self._zygote = await ForkServer.start(self._lost)
            return self._zygote

    def _lost(self) -> None:
        logger.error("the audio decoder was lost and is started again")
        self._drop_ahead()
        self._restart = asyncio.create_task(self._start_again())

    async def _start_again(self) -> None:
        try:
            await self.start()
        except DecoderError as error:
            if self._closed:
                return
            logger.critical("audio cannot be decoded", error=str(error))
            self._on_failure()


def _drop(task: asyncio.Task[Child]) -> None:
    """Lets a child go that nobody takes, forked already or not."""
    task.cancel()
    task.add_done_callback(_end)


def _end(task: asyncio.Task[Child]) -> None:
    if not task.cancelled() and task.exception() is None:
        task.result().connection.close()
