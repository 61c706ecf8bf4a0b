"""Where decoders come from: a fork server, and one child forked ahead."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

import structlog

from model_core.audio import RawFormat

from .decoder import Decoder
from .fork_client import Child, ForkServer
from .protocol import DecodeRequest, DecoderError

logger = structlog.get_logger(__name__)


class DecoderPool:
    """The source of decoders; one for the server, used from one event loop.

    One child is forked ahead and waits for its request, so that an upload that comes alone does not
    wait for a fork. The next one is forked when that upload is done, not to compete with it.
    `spool_dir` is where uploads are kept while they are decoded (the system's temporary folder
    unless given). The fork server is started again whenever it is lost; `on_failure` is called
    where it does not come back.
    """

    def __init__(
        self, spool_dir: Path | None = None, on_failure: Callable[[], None] = lambda: None
    ) -> None:
        self._spool_dir = spool_dir
        self._on_failure = on_failure
        self._fork_server: ForkServer | None = None
        self._starting = asyncio.Lock()
        self._restart: asyncio.Task[None] | None = None
        self._ahead: asyncio.Task[Child] | None = None
        self._closed = False

    async def start(self) -> None:
        """Starts the fork server and waits until it is ready (less than a second).

        Raises `DecoderError` when it does not come up.
        """
        await self._running_fork_server()
        self._fork_ahead()

    @property
    def running(self) -> bool:
        """Whether the fork server is there."""
        return self._fork_server is not None and not self._fork_server.gone

    async def close(self) -> None:
        """Ends the fork server and with it every child, for good."""
        self._closed = True
        if self._restart is not None:
            self._restart.cancel()
        self._drop_ahead()
        async with self._starting:
            if self._fork_server is not None:
                await self._fork_server.close()
                self._fork_server = None

    @asynccontextmanager
    async def open(
        self,
        sample_rate: int,
        channels: int,
        raw: RawFormat | None = None,
        max_seconds: float | None = None,
        size: int | None = None,
    ) -> AsyncIterator[Decoder]:
        """A decoder for one upload, to blocks of that rate (Hz) and that many channels.

        `size` is the length of the upload in bytes where it is known beforehand. Raises
        `DecoderError` when there is none to be had.
        """
        request = DecodeRequest(sample_rate, channels, raw, max_seconds, size)
        try:
            async with Decoder(self._begin, self._spool_dir, request) as decoder:
                yield decoder
        finally:
            self._fork_ahead()

    async def _begin(self, request: DecodeRequest, upload: int) -> Child:
        """A child that works on `request`, given the descriptor of its upload: the one forked
        ahead, or a new one. Raises `DecoderError` when even a new fork server gives none."""
        if self._ahead is not None:
            ahead, self._ahead = self._ahead, None
            try:
                child = await ahead
                child.begin(request, upload)
                return child
            except DecoderError:
                pass  # it has died while it waited
            except BaseException:
                _drop(ahead)
                raise
        try:
            return await self._begin_anew(request, upload)
        except DecoderError:
            return await self._begin_anew(request, upload)

    async def _begin_anew(self, request: DecodeRequest, upload: int) -> Child:
        child = await self._fork()
        child.begin(request, upload)
        return child

    def _fork_ahead(self) -> None:
        if self._ahead is None and self.running and not self._closed:
            self._ahead = asyncio.create_task(self._fork())

    def _drop_ahead(self) -> None:
        if self._ahead is not None:
            _drop(self._ahead)
            self._ahead = None

    async def _fork(self) -> Child:
        return await (await self._running_fork_server()).fork()

    async def _running_fork_server(self) -> ForkServer:
        """The fork server, started again if it is gone. Raises `DecoderError`."""
        async with self._starting:
            if self._closed:
                raise DecoderError("the audio decoder is not running")
            if self._fork_server is not None and self._fork_server.gone:
                await self._fork_server.close()
                self._fork_server = None
            if self._fork_server is None:
                self._fork_server = await ForkServer.start(self._lost)
            return self._fork_server

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
