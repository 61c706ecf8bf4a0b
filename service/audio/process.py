"""One upload, decoded in a process of its own."""

import asyncio
import json
import signal
import socket
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np
import structlog

from model_core.audio import RawFormat, SourceInfo
from model_core.audio.samples import Samples
from model_core.errors import EncodecError, InvalidAudioError

from .spool import ALL, MORE, Spool
from .warm import LOST, PATIENCE, AudioProcessError, WarmProcess
from .wire import AUDIO, END, ERROR, INFO, MAX_TEXT, PREFIX, Job, received_error

logger = structlog.get_logger(__name__)

_READ_AHEAD = 1 << 16  # bytes of blocks held in the server besides the socket's own buffer


class AudioProcesses:
    """The source of decoding processes; one for the server, used from one event loop.

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
        self._zygote: WarmProcess | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Starts the warm process and waits until it is ready (seconds).

        Raises `AudioProcessError` when it does not come up.
        """
        await self.zygote()

    @property
    def running(self) -> bool:
        """Whether the warm process is there."""
        return self._zygote is not None and not self._zygote.gone

    async def close(self) -> None:
        """Ends the warm process and with it every child."""
        if self._restart is not None:
            self._restart.cancel()
        async with self._starting:
            if self._zygote is not None:
                await self._zygote.close()
                self._zygote = None

    def open(
        self,
        sample_rate: int,
        channels: int,
        raw: RawFormat | None = None,
        max_seconds: float | None = None,
        size: int | None = None,
    ) -> "AudioProcess":
        """A decoding process for one upload, as an async context manager.

        `size` is the length of the upload in bytes where it is known beforehand.
        """
        return AudioProcess(self, Job(sample_rate, channels, raw, max_seconds, size))

    async def zygote(self) -> WarmProcess:
        """The warm process, started again if it has gone."""
        async with self._starting:
            if self._zygote is not None and self._zygote.gone:
                await self._zygote.close()
                self._zygote = None
            if self._zygote is None:
                self._zygote = await WarmProcess.start(self._lost)
            return self._zygote

    def _lost(self) -> None:
        logger.error("the audio decoder was lost and is started again")
        self._restart = asyncio.create_task(self._start_again())

    async def _start_again(self) -> None:
        try:
            await self.zygote()
        except AudioProcessError as error:
            logger.critical("audio cannot be decoded", error=str(error))
            self._on_failure()


class AudioProcess:
    """One upload in, float32 blocks `[channels, n]` out, at the model's rate.

    `feed` and `blocks` may run at the same time, in two tasks, or one after the other. Leaving the
    context kills the child and frees everything. `info` tells what the upload is, from the
    first block on.
    """

    def __init__(self, processes: AudioProcesses, job: Job) -> None:
        self._processes = processes
        self._job = job
        self._spooling: asyncio.Future[None] | None = None
        self._ended = False
        self.info: SourceInfo | None = None

    async def __aenter__(self) -> Self:
        self._zygote = await self._processes.zygote()
        self._spool = await asyncio.to_thread(Spool, self._processes.spool_dir)
        try:
            ours, theirs = socket.socketpair()
            with theirs:
                try:
                    self._number, self._exit = await self._zygote.fork(
                        self._job, [theirs.fileno(), self._spool.reader]
                    )
                except BaseException:
                    ours.close()
                    raise
            self._spool.close_reader()
            self._reader, self._writer = await asyncio.open_connection(sock=ours, limit=_READ_AHEAD)
        except BaseException:
            self._spool.close()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._writer.transport.abort()
        try:
            if not self._exit.done():
                await self._zygote.kill(self._number)
                if not self._ended:  # else it is on its way out, which takes some milliseconds
                    await asyncio.wait([self._exit], timeout=PATIENCE)
        finally:
            if self._spooling is not None and not self._spooling.done():
                self._spooling.add_done_callback(lambda _: self._spool.close())
            else:
                self._spool.close()

    async def feed(self, chunk: bytes) -> None:
        """The next bytes of the upload; they go to disk, so this never waits for the decoder.

        Bytes after the decoder has ended are dropped. Raises `OSError` when the disk is full.
        """
        if not chunk or self._exit.done():
            return
        loop = asyncio.get_running_loop()
        self._spooling = loop.run_in_executor(None, self._spool.append, bytes(chunk))
        await asyncio.shield(self._spooling)
        # One unread word is enough: the child looks at the size of the file when it reads it.
        if self._writer.transport.get_write_buffer_size() == 0:
            self._say(MORE)

    async def end_of_input(self) -> None:
        """The upload is whole."""
        self._say(ALL)

    async def blocks(self) -> AsyncIterator[Samples]:
        """The blocks in order, as they are decoded; a slow reader stops the decoder.

        Raises `InvalidAudioError` (`AudioTooLongError` past `max_seconds`) for audio that cannot be
        read or that ends the child, `AudioProcessError` when no child could run.
        """
        while True:
            kind, payload = await self._message()
            if kind == AUDIO:
                flat = np.frombuffer(payload, "<f4").astype(np.float32, copy=False)
                yield flat.reshape(self._job.channels, -1)
            elif kind == INFO:
                self.info = _info(payload)
            elif kind == ERROR:
                raise received_error(payload)
            else:
                self._ended = True
                return

    async def _message(self) -> tuple[bytes, bytes]:
        """The next message, held to what a child may send: the child is not trusted."""
        most = 4 * self._job.channels * self._job.sample_rate
        sizes = {AUDIO: most, INFO: MAX_TEXT, ERROR: MAX_TEXT, END: 0}
        try:
            kind, length = PREFIX.unpack(await self._reader.readexactly(PREFIX.size))
            if length > sizes.get(kind, -1) or (kind == AUDIO and length % (most // self._rate)):
                raise InvalidAudioError("the audio decoder failed on this input")
            return kind, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            raise _death(await self._exit) from error

    @property
    def _rate(self) -> int:
        return self._job.sample_rate

    def _say(self, word: bytes) -> None:
        if not self._exit.done() and not self._writer.is_closing():
            self._writer.write(word)


def _info(payload: bytes) -> SourceInfo:
    try:
        return SourceInfo(**json.loads(payload))
    except (ValueError, TypeError):
        raise InvalidAudioError("the audio decoder failed on this input") from None


def _death(status: int) -> EncodecError:
    """Why a child ended without saying so."""
    if status == LOST:
        return AudioProcessError("the audio decoder is not running")
    if status == -signal.SIGXCPU:
        return InvalidAudioError("the audio takes too much computing to decode")
    if status < 0:
        return InvalidAudioError(
            f"the audio decoder was ended by {signal.Signals(-status).name} on this input"
        )
    return InvalidAudioError(f"the audio decoder failed on this input (status {status})")
