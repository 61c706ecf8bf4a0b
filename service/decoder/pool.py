"""Where decoders come from: a fork server, and one child forked ahead."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import structlog

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
        self._replacing: asyncio.Task[None] | None = None
        self._forking: asyncio.Task[None] | None = None
        self._ahead: Child | None = None
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
        self._drop_ahead()
        if self._replacing is not None:
            self._replacing.cancel()
        async with self._starting:
            if self._fork_server is not None:
                await self._fork_server.close()

    @contextlib.asynccontextmanager
    async def open(self, request: DecodeRequest) -> AsyncIterator[Decoder]:
        """A decoder for one upload. Raises `DecoderError` when there is none to be had."""
        try:
            async with Decoder(self._begin, self._spool_dir, request) as decoder:
                yield decoder
        finally:
            self._fork_ahead()

    async def _begin(self, request: DecodeRequest, upload: int) -> Child:
        """A child that works on `request`, given the descriptor of its upload: the one forked
        ahead, or a new one. Raises `DecoderError` when even a new fork server gives none."""
        if self._forking is not None:
            await asyncio.wait([self._forking])
        tries = 2 if self._ahead is None else 3
        while True:
            child, self._ahead = self._ahead, None
            try:
                child = child or await self._fork()
                child.begin(request, upload)
                return child
            except DecoderError:
                tries -= 1
                if tries == 0:
                    raise

    def _fork_ahead(self) -> None:
        idle = self._forking is None or self._forking.done()
        if self._ahead is None and idle and self.running and not self._closed:
            self._forking = asyncio.create_task(self._forked_ahead())

    async def _forked_ahead(self) -> None:
        with contextlib.suppress(DecoderError):  # the next upload meets it again
            self._ahead = await self._fork()

    def _drop_ahead(self) -> None:
        if self._forking is not None:
            self._forking.cancel()
            self._forking = None
        if self._ahead is not None:
            self._ahead.connection.close()
            self._ahead = None

    async def _fork(self) -> Child:
        return await (await self._running_fork_server()).fork()

    async def _running_fork_server(self) -> ForkServer:
        """The fork server, started again if it is gone. Raises `DecoderError`."""
        async with self._starting:
            if self._closed:
                raise DecoderError("the audio decoder is not running")
            if self._fork_server is None or self._fork_server.gone:
                self._fork_server = await ForkServer.start()
                self._replacing = asyncio.create_task(self._replace(self._fork_server))
            return self._fork_server

    async def _replace(self, fork_server: ForkServer) -> None:
        """Starts another one when this one has ended, by itself or because it hung."""
        await fork_server.ended()
        if self._closed:
            return
        logger.error("the audio decoder was lost and is started again")
        self._drop_ahead()
        try:
            await self.start()
        except DecoderError as error:
            if not self._closed:
                logger.critical("audio cannot be decoded", error=str(error))
                self._on_failure()
