"""One upload as the server sees it: bytes in, blocks of samples out."""

import asyncio
import os
import signal
import tempfile
from collections.abc import AsyncIterator, Awaitable, Callable
from concurrent.futures import Executor
from pathlib import Path
from typing import Self

import numpy as np
import structlog

from model_core.audio.samples import Samples
from model_core.ecdc.header import MAX_AUDIO_LENGTH
from model_core.errors import EncodecError, InvalidAudioError

from ..cancellation import create_task_apart
from .fork_client import Child
from .protocol import (
    ALL,
    AUDIO,
    CANNOT_WORK,
    END,
    ERRORS,
    LENGTH,
    MAX_SOURCE,
    MAX_TEXT,
    MORE,
    PREFIX,
    SOURCE,
    DecodeRequest,
    DecoderError,
    DecoderMemoryError,
    Source,
    parse_source,
)

logger = structlog.get_logger(__name__)

_CRASHES = [
    -signal.Signals[name]
    for name in ("SIGSEGV", "SIGBUS", "SIGFPE", "SIGILL", "SIGABRT", "SIGTRAP")
]
_FAILED = "the audio decoder failed on this input"
_READ_AHEAD = 1 << 16  # bytes of blocks held in the server besides the socket's own buffer


class Decoder:
    """One upload in, float32 blocks `[channels, n]` out, at the rate of the request.

    `feed` and `blocks` may run at the same time, in two tasks, or one after the other. Leaving the
    context kills the child and frees everything. If the child is lost with its fork server, is
    killed from outside, cannot work or makes no progress for `timeout` seconds, another one decodes
    the upload from the beginning, once. `begin` gives a child that works on a request, given the
    descriptor of the upload, or raises `DecoderError`; `disk` writes uploads in its threads.
    """

    def __init__(
        self,
        begin: Callable[[DecodeRequest, int], Awaitable[Child]],
        spool_dir: Path | None,
        disk: Executor,
        timeout: float,
        request: DecodeRequest,
    ) -> None:
        self._begin = begin
        self._spool_dir = spool_dir
        self._disk = disk
        self._timeout = timeout
        self._request = request
        self._received = 0  # messages
        self._receiving = False
        self._writing: asyncio.Future[None] | None = None
        self._whole = False  # all of the upload is in the file
        self._done = False  # the child has said that this was the last block
        self._over = False  # no child reads the upload any more
        self.source: Source | None = None
        """What is decoded; known with the first block."""
        self.source_samples = 0
        """How many samples that has at its own rate; 0 until the end of the blocks."""

    async def __aenter__(self) -> Self:
        self._file = _UploadFile(self._spool_dir)
        try:
            await self._connect()
        except BaseException:
            self._file.close()
            raise
        self._watching = create_task_apart(self._watch())
        return self

    async def __aexit__(self, *error: object) -> None:
        self._watching.cancel()
        self._writer.transport.abort()
        self._child.kill()
        try:
            if not self._done:  # else it is about to end by itself
                await self._child.exit_status()
        except DecoderError:
            pass  # it has ended with its fork server
        finally:
            if self._writing is None:
                self._file.close()
            else:
                self._writing.add_done_callback(lambda _: self._file.close())

    @property
    def pid(self) -> int:
        """Of the child that decodes now."""
        return self._child.pid

    async def feed(self, chunk: bytes) -> None:
        """The next bytes of the upload; they go to disk, so this never waits for the decoder.

        Bytes after the end of the blocks are dropped. Raises `OSError` when the disk is full.
        """
        if self._over:
            return
        loop = asyncio.get_running_loop()
        self._writing = loop.run_in_executor(self._disk, self._file.append, chunk)
        await asyncio.shield(self._writing)
        # One unread word is enough: the child looks at the size of the file when it reads it.
        if self._writer.transport.get_write_buffer_size() == 0:
            self._say(MORE)

    async def end_of_input(self) -> None:
        """The upload is whole."""
        self._whole = True
        self._say(ALL)

    async def blocks(self) -> AsyncIterator[Samples]:
        """The blocks in order, as they are decoded; a slow reader stops the decoder.

        Raises `InvalidAudioError` (`AudioTooLongError` past `max_seconds`) for audio that cannot be
        read or that ends the child, `DecoderError` when no child could run.
        """
        try:
            async for block in self._decoded_or_again():
                yield block
        finally:
            self._over = True

    async def _decoded_or_again(self) -> AsyncIterator[Samples]:
        given = 0
        try:
            async for block in self._decoded():
                given += 1
                yield block
            return
        except DecoderMemoryError:
            raise
        except DecoderError as error:
            logger.warning("an upload is decoded again from the beginning", reason=str(error))
        self._writer.transport.abort()
        self._child.kill()  # it may not end by itself
        await self._connect()
        async for block in self._decoded():
            given -= 1
            if given < 0:  # the same upload has the same blocks
                yield block

    async def _connect(self) -> None:
        """Gives the upload, from its beginning, to a child. Raises `DecoderError`."""
        self._child = await self._begin(self._request, self._file.reader)
        try:
            self._reader, self._writer = await asyncio.open_connection(
                sock=self._child.connection, limit=_READ_AHEAD
            )
        except BaseException:
            self._child.connection.close()
            raise
        self._say(ALL if self._whole else MORE)

    async def _decoded(self) -> AsyncIterator[Samples]:
        """The blocks that the current child sends."""
        told = False
        while True:
            kind, payload = await self._message()
            if kind == END:
                if len(payload) != LENGTH.size:
                    raise InvalidAudioError(_FAILED)
                self._done = True
                (samples,) = LENGTH.unpack(payload)
                self.source_samples = samples if samples <= MAX_AUDIO_LENGTH else 0
                return
            if kind in ERRORS:
                raise ERRORS[kind](payload.decode(errors="replace"))
            if kind == SOURCE:
                if told:
                    raise InvalidAudioError(_FAILED)
                try:
                    told, self.source = True, parse_source(payload)
                except ValueError as error:
                    raise InvalidAudioError(_FAILED) from error
                continue
            flat = np.frombuffer(payload, "<f4").astype(np.float32, copy=False)
            yield flat.reshape(self._request.channels, -1)

    async def _message(self) -> tuple[bytes, bytes]:
        """The next message, held to what a child may send: the child is not trusted."""
        frame = 4 * self._request.channels  # bytes
        longest = {AUDIO: frame * self._request.sample_rate, END: LENGTH.size, SOURCE: MAX_SOURCE}
        longest |= dict.fromkeys(ERRORS, MAX_TEXT)
        self._receiving = True
        try:
            kind, length = PREFIX.unpack(await self._reader.readexactly(PREFIX.size))
            if length > longest.get(kind, -1) or (kind == AUDIO and length % frame):
                raise InvalidAudioError(_FAILED)
            return kind, await self._reader.readexactly(length)
        except (asyncio.IncompleteReadError, ConnectionError) as error:
            status = await self._child.exit_status()
            if self._child.over_budget:
                raise DecoderMemoryError("too little memory for all audio decoders") from error
            raise _failure(status) from error
        finally:
            self._receiving = False
            self._received += 1

    async def _watch(self) -> None:
        """Kills a child that owes a message and does nothing for it."""
        before = None
        while True:
            await asyncio.sleep(self._timeout / 2)
            state, ticks = self._child.activity()
            waits_for_client = state == "S" and not self._whole
            now = (self._child, self._received, ticks)
            idle = self._receiving and state != "R" and not waits_for_client
            if idle and now == before:
                logger.error("an audio decoder hangs and is killed", state=state)
                self._child.kill()
                self._writer.transport.abort()
            before = now if idle else None

    def _say(self, word: bytes) -> None:
        if not self._writer.is_closing():
            self._writer.write(word)


class _UploadFile:
    """The upload on disk, in a file without a name. Its calls block: make them from a thread."""

    def __init__(self, folder: Path | None) -> None:
        descriptor, name = tempfile.mkstemp(prefix="encodec-", dir=folder)
        self._written = os.fdopen(descriptor, "wb", buffering=0)
        try:
            self._read = Path(name).open("rb", buffering=0)  # noqa: SIM115 - see `close`
        finally:
            Path(name).unlink()

    @property
    def reader(self) -> int:
        """A read-only descriptor."""
        return self._read.fileno()

    def append(self, data: bytes) -> None:
        """Writes `data` after what is there. Raises `OSError` when the disk is full."""
        view = memoryview(data)
        while view:
            view = view[os.write(self._written.fileno(), view) :]

    def close(self) -> None:
        """Gives the disk space back as soon as the child is gone too."""
        self._written.close()
        self._read.close()


def _failure(status: int) -> EncodecError:
    """Why a child ended without saying so: because of the upload, or of something else."""
    if status == -signal.SIGXCPU:
        return InvalidAudioError("the audio takes too much computing to decode")
    name = f"signal {signal.Signals(-status).name}" if status < 0 else f"status {status}"
    if status == CANNOT_WORK or (status < 0 and status not in _CRASHES):
        return DecoderError(f"the audio decoder was stopped ({name})")
    return InvalidAudioError(f"{_FAILED} ({name})")
