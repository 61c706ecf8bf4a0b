"""One upload, decoded in a process of its own."""

import asyncio
import json
import signal
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from types import TracebackType
from typing import Self

import numpy as np

from model_core.audio import SourceInfo
from model_core.audio.samples import Samples
from model_core.errors import EncodecError, InvalidAudioError

from .fork_client import LOST, DecoderError
from .forked import Child
from .growing_file import ALL, MORE, Spool
from .protocol import AUDIO, END, ERROR, INFO, MAX_TEXT, PREFIX, Job, received_error

_READ_AHEAD = 1 << 16  # bytes of blocks held in the server besides the socket's own buffer

Begin = Callable[[Job, int], Awaitable[Child]]
"""A child that has begun with a job, given the descriptor of the upload."""


class Decoder:
    """One upload in, float32 blocks `[channels, n]` out, at the model's rate.

    `feed` and `blocks` may run at the same time, in two tasks, or one after the other. Leaving the
    context kills the child and frees everything. `info` tells what the upload is, from the
    first block on. Where the child is lost with its zygote, another begins again with what there
    is of the upload, once.
    """

    def __init__(self, begin: Begin, spool_dir: Path | None, job: Job) -> None:
        self._begin = begin
        self._spool_dir = spool_dir
        self._job = job
        self._spooling: asyncio.Future[None] | None = None
        self._whole = False
        self._ended = False
        self.info: SourceInfo | None = None

    async def __aenter__(self) -> Self:
        self._spool = await asyncio.to_thread(Spool, self._spool_dir)
        try:
            await self._connect()
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
            await self._child.kill()
            if not self._ended:  # else it is on its way out, which takes some milliseconds
                await self._child.gone()
        finally:
            if self._spooling is not None and not self._spooling.done():
                self._spooling.add_done_callback(lambda _: self._spool.close())
            else:
                self._spool.close()

    async def feed(self, chunk: bytes) -> None:
        """The next bytes of the upload; they go to disk, so this never waits for the decoder.

        Bytes after the decoder has ended are dropped. Raises `OSError` when the disk is full.
        """
        if not chunk or (self._child.ended.done() and self._child.ended.result() != LOST):
            return
        loop = asyncio.get_running_loop()
        self._spooling = loop.run_in_executor(None, self._spool.append, bytes(chunk))
        await asyncio.shield(self._spooling)
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
        begun_again = False
        here = given = 0  # blocks of this child, and of any
        while True:
            try:
                kind, payload = await self._message()
            except DecoderError:
                if begun_again:
                    raise
                begun_again, here = True, 0
                self._writer.transport.abort()
                await self._connect()
                continue
            if kind == AUDIO:
                here += 1
                if here > given:  # the same upload has the same blocks
                    given = here
                    flat = np.frombuffer(payload, "<f4").astype(np.float32, copy=False)
                    yield flat.reshape(self._job.channels, -1)
            elif kind == INFO:
                self.info = _info(payload)
            elif kind == ERROR:
                raise received_error(payload)
            else:
                self._ended = True
                return

    async def _connect(self) -> None:
        """Gives the upload, from its beginning, to a child. Raises `DecoderError`."""
        self._child = await self._begin(self._job, self._spool.reader)
        try:
            self._reader, self._writer = await asyncio.open_connection(
                sock=self._child.connection, limit=_READ_AHEAD
            )
        except BaseException:
            self._child.connection.close()
            raise
        if self._whole:
            self._say(ALL)

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
            raise _death(await self._child.status()) from error

    @property
    def _rate(self) -> int:
        return self._job.sample_rate

    def _say(self, word: bytes) -> None:
        if not self._child.ended.done() and not self._writer.is_closing():
            self._writer.write(word)


def _info(payload: bytes) -> SourceInfo:
    try:
        return SourceInfo(**json.loads(payload))
    except (ValueError, TypeError):
        raise InvalidAudioError("the audio decoder failed on this input") from None


def _death(status: int) -> EncodecError:
    """Why a child ended without saying so."""
    if status == LOST:
        return DecoderError("the audio decoder is not running")
    if status == -signal.SIGXCPU:
        return InvalidAudioError("the audio takes too much computing to decode")
    if status < 0:
        return InvalidAudioError(
            f"the audio decoder was ended by {signal.Signals(-status).name} on this input"
        )
    return InvalidAudioError(f"the audio decoder failed on this input (status {status})")
