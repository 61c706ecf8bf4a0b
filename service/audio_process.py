"""Decoding uploads in processes of their own: FFmpeg's parsers never run inside the server.

Each upload is decoded, converted and resampled by a fresh child, forked from a warm process
(`audio_zygote`), bounded (`audio_limits`), fed through a file (`audio_spool`), heard over a socket
(`audio_wire`), and dropped after that one upload. A child that crashes is an `InvalidAudioError` of
that upload and nothing else.

    server --commands--> zygote --fork--> child
       |  \\______ upload: temporary file ____/ |
       |_______________ socket: blocks ________|
"""

import asyncio
import contextlib
import json
import os
import signal
import socket
import sys
from collections.abc import AsyncIterator
from pathlib import Path
from types import TracebackType
from typing import Any, Self

import numpy as np

from model_core.audio import RawFormat, SourceInfo
from model_core.audio.samples import Samples
from model_core.errors import EncodecError, InvalidAudioError
from service.audio_spool import ALL, MORE, Spool
from service.audio_wire import AUDIO, END, ERROR, INFO, MAX_TEXT, PREFIX, Job, received_error

_READ_AHEAD = 1 << 16  # bytes of blocks held in the server besides the socket's own buffer
_LOST = -1_000  # status of a child whose zygote is gone or could not fork
_PATIENCE = 10.0  # s until the zygote is killed when it does not end by itself
_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ")


class AudioProcessError(EncodecError):
    """No decoding process can be had: the server's trouble, not the upload's."""


class AudioProcesses:
    """The source of decoding processes; one for the server, used from one event loop.

    `spool_dir` is where uploads are kept while they are decoded (the system's temporary folder
    unless given).
    """

    def __init__(self, spool_dir: Path | None = None) -> None:
        self.spool_dir = spool_dir
        self._zygote: _Zygote | None = None
        self._starting = asyncio.Lock()

    async def start(self) -> None:
        """Starts the warm process and waits until it is ready (seconds).

        Raises `AudioProcessError` when it does not come up.
        """
        await self.zygote()

    async def close(self) -> None:
        """Ends the warm process and with it every child."""
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

    async def zygote(self) -> "_Zygote":
        """The warm process, started again if it has gone."""
        async with self._starting:
            if self._zygote is not None and self._zygote.gone:
                await self._zygote.close()
                self._zygote = None
            if self._zygote is None:
                self._zygote = await _Zygote.start()
            return self._zygote


class AudioProcess:
    """One upload in, float32 blocks `[channels, n]` out, at the model's rate.

    `feed` and `blocks` may run at the same time, in two tasks, or one after the other. Leaving the
    context kills the child at once and frees everything. `info` tells what the upload is, from the
    first block on.
    """

    def __init__(self, processes: AudioProcesses, job: Job) -> None:
        self._processes = processes
        self._job = job
        self._spooling: asyncio.Future[None] | None = None
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
                await asyncio.wait([self._exit], timeout=_PATIENCE)
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


class _Zygote:
    """The server's end of the warm process."""

    def __init__(self, process: asyncio.subprocess.Process, commands: socket.socket) -> None:
        self._process = process
        self._commands = commands
        self._loop = asyncio.get_running_loop()
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._numbers = 0
        self.gone = False
        self._loop.add_reader(commands.fileno(), self._hear)

    @classmethod
    async def start(cls) -> "_Zygote":
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "service.audio_zygote", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_environment(),
            )
        zygote = cls(process, ours)
        try:
            await zygote._ready
        except BaseException:
            await zygote.close()
            raise
        return zygote

    async def fork(self, job: Job, fds: list[int]) -> tuple[int, asyncio.Future[int]]:
        """A child for `job`: its number, and its exit status to come (minus the signal's number if
        a signal ended it). Raises `AudioProcessError` when the zygote is gone."""
        self._numbers += 1
        number = self._numbers
        self._exits[number] = self._loop.create_future()
        await self._send({"id": number, "job": job.to_bytes().decode()}, fds)
        return number, self._exits[number]

    async def kill(self, number: int) -> None:
        """Kills that child if it still runs."""
        with contextlib.suppress(AudioProcessError):
            await self._send({"kill": number}, [])

    async def close(self) -> None:
        """Ends the process (its children end with it)."""
        self._lost()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _send(self, command: dict[str, Any], fds: list[int]) -> None:
        data = json.dumps(command).encode()
        while not self.gone:
            try:
                socket.send_fds(self._commands, [data], fds)
                return
            except BlockingIOError:
                await asyncio.sleep(0.005)
            except OSError:
                self._lost()
        raise AudioProcessError("the audio decoder is not running")

    def _hear(self) -> None:
        try:
            data = self._commands.recv(MAX_TEXT)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if not data:
            self._lost()
            return
        said = json.loads(data)
        if "ready" in said:
            self._ready.set_result(None)
        elif (exited := self._exits.pop(said["id"], None)) is not None and not exited.done():
            exited.set_result(_LOST if said["status"] is None else said["status"])

    def _lost(self) -> None:
        if self.gone:
            return
        self.gone = True
        self._loop.remove_reader(self._commands.fileno())
        self._commands.close()
        if not self._ready.done():
            self._ready.set_exception(AudioProcessError("the audio decoder did not start"))
        for exited in self._exits.values():
            if not exited.done():
                exited.set_result(_LOST)
        self._exits.clear()


def _environment() -> dict[str, str]:
    """What the zygote may know of the server's environment: where things are, nothing secret."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}


def _info(payload: bytes) -> SourceInfo:
    try:
        return SourceInfo(**json.loads(payload))
    except (ValueError, TypeError):
        raise InvalidAudioError("the audio decoder failed on this input") from None


def _death(status: int) -> EncodecError:
    """Why a child ended without saying so."""
    if status == _LOST:
        return AudioProcessError("the audio decoder is not running")
    if status == -signal.SIGXCPU:
        return InvalidAudioError("the audio takes too much computing to decode")
    if status < 0:
        return InvalidAudioError(
            f"the audio decoder was ended by {signal.Signals(-status).name} on this input"
        )
    return InvalidAudioError(f"the audio decoder failed on this input (status {status})")
