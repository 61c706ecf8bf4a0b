"""Where decoders come from: a fork server, and one child forked ahead."""

import asyncio
import contextlib
import tempfile
import threading
from collections.abc import AsyncIterator, Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import structlog

from ..cancellation import create_task_apart
from .decoder import Decoder
from .fork_client import Child, ForkServer
from .memory import default_budget, over_budget, private_bytes
from .protocol import DecodeRequest, DecoderError
from .spool import SpoolUse, spool_use

logger = structlog.get_logger(__name__)

_DISK_THREADS = 4
_DISK_PATIENCE = 5.0  # s
_LOOK = 0.25  # s between two looks at the memory
_FIRST_START = 60.0  # s that a fork server may take: a cold, busy machine needs far more than one
_NEXT_START = 10.0  # s for one that replaces another
_PATIENCE = 15.0  # s that an upload waits for a decoder
_TRYING = 60.0  # s for which a lost fork server is started again and again
_NOT_RUNNING = "the audio decoder is not running"
_FIRST_PAUSE, _LONGEST_PAUSE = 0.1, 5.0  # s


class DecoderPool:
    """The source of decoders; one for the server, used from one event loop.

    One child is forked ahead and waits for its request, so that an upload that comes alone does not
    wait for a fork. The next one is forked when that upload is done, not to compete with it.
    `spool_dir` is where uploads are kept while they are decoded (the system's temporary folder
    unless given). The fork server is started again whenever it is lost; uploads wait for it for
    some seconds, and `on_failure` is called where it does not come back within a minute. A child
    that makes no progress for `timeout` seconds is replaced. When all children together have more
    than `max_memory` bytes (by default a quarter of what there is), the largest is killed.
    """

    def __init__(
        self,
        spool_dir: Path | None = None,
        on_failure: Callable[[], None] = lambda: None,
        timeout: float = 10.0,
        max_memory: int | None = None,
    ) -> None:
        self._spool_dir = spool_dir
        self._on_failure = on_failure
        self._timeout = timeout
        self._max_memory = max_memory or default_budget()
        self._disk = ThreadPoolExecutor(_DISK_THREADS, "disk")
        self._children: set[Child] = set()
        self._watching: asyncio.Task[None] | None = None
        self._fork_server: ForkServer | None = None
        self._starting: asyncio.Task[ForkServer] | None = None
        self._replacing: asyncio.Task[None] | None = None
        self._forking: asyncio.Task[None] | None = None
        self._ahead: Child | None = None
        self._closed = False

    async def start(self) -> None:
        """Starts the fork server and waits until it is ready (less than a second).

        Raises `DecoderError` when it does not come up.
        """
        await self._running_fork_server()
        if self._watching is None:
            self._start_threads()
            self._watching = create_task_apart(self._watch_memory())
        self._fork_ahead()

    def _start_threads(self) -> None:
        """Now, since later there may be no room for one. Raises `DecoderError`."""
        all_run = threading.Barrier(_DISK_THREADS)
        try:
            for _ in range(_DISK_THREADS):
                self._disk.submit(all_run.wait)
        except RuntimeError as error:
            all_run.abort()
            raise DecoderError(f"no thread can be started: {error}") from error

    @property
    def running(self) -> bool:
        """Whether the fork server is there."""
        return self._fork_server is not None and not self._fork_server.gone

    @property
    def children(self) -> int:
        """How many decode an upload."""
        return sum(not child.gone for child in self._children)

    async def check_disk(self) -> None:
        """Writes a byte where uploads are kept. Raises `OSError` if that fails or takes seconds."""
        writing = asyncio.get_running_loop().run_in_executor(self._disk, self._write_a_byte)
        async with asyncio.timeout(_DISK_PATIENCE):
            await asyncio.shield(writing)

    async def spool_use(self) -> SpoolUse:
        """How much disk uploads take. Raises `OSError` if that fails or takes seconds."""
        if self._closed:
            raise OSError(_NOT_RUNNING)
        looking = asyncio.get_running_loop().run_in_executor(self._disk, spool_use, self._spool_dir)
        async with asyncio.timeout(_DISK_PATIENCE):
            return await asyncio.shield(looking)

    def _write_a_byte(self) -> None:
        with tempfile.TemporaryFile(dir=self._spool_dir, buffering=0) as file:
            file.write(b".")

    async def close(self) -> None:
        """Ends the fork server and with it every child, for good."""
        self._closed = True
        self._drop_ahead()
        for task in (self._replacing, self._watching, self._starting):
            if task is not None:
                task.cancel()
        if self._starting is not None:
            await asyncio.wait([self._starting])
        if self._fork_server is not None:
            await self._fork_server.close()
        self._disk.shutdown(wait=False)

    @contextlib.asynccontextmanager
    async def open(self, request: DecodeRequest) -> AsyncIterator[Decoder]:
        """A decoder for one upload. Raises `DecoderError` when there is none to be had."""
        try:
            async with Decoder(
                self._begin, self._spool_dir, self._disk, self._timeout, request
            ) as decoder:
                yield decoder
        finally:
            self._fork_ahead()

    async def _begin(self, request: DecodeRequest, upload: int) -> Child:
        """A child that works on `request`, given the descriptor of its upload: the one forked
        ahead, or a new one. Raises `DecoderError` when even a new fork server gives none, or there
        is none in time."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await self._begun(request, upload)
        except TimeoutError:
            raise DecoderError("the audio decoder is being started again") from None

    async def _begun(self, request: DecodeRequest, upload: int) -> Child:
        if self._forking is not None:
            await asyncio.wait([self._forking])
        # Two, and one for each of the child ahead and the fork server, which may just have gone.
        tries = 2 + (self._ahead is not None) + self.running
        while True:
            child, self._ahead = self._ahead, None
            try:
                if child is not None and child.stopped:
                    child.kill()
                    child.connection.close()
                    child = None
                child = child or await self._fork()
                child.begin(request, upload)
                self._children.add(child)
                return child
            except DecoderError:
                tries -= 1
                if tries == 0:
                    raise

    def _fork_ahead(self) -> None:
        idle = self._forking is None or self._forking.done()
        if self._ahead is None and idle and self.running and not self._closed:
            self._forking = create_task_apart(self._forked_ahead())

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
        """The fork server, started again if it is gone, once for all who wait for it. Raises
        `DecoderError`."""
        if self._fork_server is not None and self.running:
            return self._fork_server
        if self._closed:
            raise DecoderError(_NOT_RUNNING)
        if self._starting is None:
            self._starting = create_task_apart(self._started())
            self._starting.add_done_callback(self._forget_start)
        starting = self._starting
        await asyncio.wait([starting])
        if starting.cancelled():
            raise DecoderError(_NOT_RUNNING)
        return starting.result()

    async def _started(self) -> ForkServer:
        try:
            async with asyncio.timeout(_FIRST_START if self._fork_server is None else _NEXT_START):
                self._fork_server = await ForkServer.start()
        except TimeoutError:
            raise DecoderError("the audio decoder did not start in time") from None
        self._replacing = create_task_apart(self._replace(self._fork_server))
        return self._fork_server

    def _forget_start(self, starting: asyncio.Task[ForkServer]) -> None:
        self._starting = None
        if not starting.cancelled():
            starting.exception()  # asyncio logs one that nobody waited for

    async def _replace(self, fork_server: ForkServer) -> None:
        """Starts another one when this one has ended, by itself or because it hung."""
        await fork_server.ended()
        if self._closed:
            return
        logger.error("the audio decoder was lost and is started again")
        self._drop_ahead()
        loop = asyncio.get_running_loop()
        deadline = loop.time() + _TRYING
        pause = _FIRST_PAUSE
        while not self._closed:
            try:
                await self.start()
                return
            except DecoderError as error:
                if self.running:  # an upload has started it
                    return
                if loop.time() > deadline:
                    logger.critical("audio cannot be decoded", error=str(error))
                    self._on_failure()
                    return
                logger.warning("the audio decoder does not start", error=str(error))
            await asyncio.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE)

    async def _watch_memory(self) -> None:
        while True:
            await asyncio.sleep(_LOOK)
            self._children = {child for child in self._children if not child.gone}
            if not self._children or self._fork_server is None:
                continue
            base = private_bytes(self._fork_server.pid)
            largest = over_budget(self._children, base, self._max_memory)
            if largest is not None:
                logger.error("audio decoders have too much memory: the largest is killed")
                largest.over_budget = True
                largest.kill()
