"""The server's end of the warm process from which decoding children are forked."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable, Sequence
from typing import TypeVar

import structlog

from model_core.errors import EncodecError

from .protocol import MAX_TEXT

logger = structlog.get_logger(__name__)

T = TypeVar("T")

LOST = -1_000
"""Status of a child whose zygote is gone or could not fork."""

SILENCE = 2.0
"""Seconds that a zygote may say nothing while something is waited for (forking takes some
milliseconds). Then it is asked whether it lives, and killed when it takes as long to say so."""

STARTING = 60.0
"""Seconds until a zygote is given up that is not ready (importing takes a second or two)."""

_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ")


class DecoderError(EncodecError):
    """No decoding process can be had: the server's trouble, not the upload's."""


class ForkServer:
    """Forks and kills children on request, and tells how they ended."""

    def __init__(
        self,
        process: asyncio.subprocess.Process,
        commands: socket.socket,
        on_lost: Callable[[], None],
    ) -> None:
        self._process = process
        self._on_lost = on_lost
        self._commands = commands
        self._loop = asyncio.get_running_loop()
        self._forked: dict[int, asyncio.Future[None]] = {}
        self._ended: dict[int, asyncio.Future[int]] = {}
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._numbers = 0
        self._heard = 0  # messages so far
        self.gone = False
        self._loop.add_reader(commands.fileno(), self._hear)

    @classmethod
    async def start(cls, on_lost: Callable[[], None]) -> "ForkServer":
        """Raises `DecoderError` when it does not come up; `on_lost` is called when it ends
        later without having been told to, or had to be killed."""
        process, commands = await _launch()
        zygote = cls(process, commands, on_lost)
        try:
            async with asyncio.timeout(STARTING):
                await zygote._ready
        except TimeoutError:
            process.kill()
            await zygote.close()
            raise DecoderError("the audio decoder did not start in time") from None
        except BaseException:
            await zygote.close()
            raise
        return zygote

    async def fork(self, connection: int) -> tuple[int, asyncio.Future[int]]:
        """A child with that socket: its number, and its exit status to come (minus the signal's
        number if a signal ended it, or `LOST`). Raises `DecoderError` when there is none to be
        had: the zygote is gone, hangs, or cannot fork."""
        self._numbers += 1
        number = self._numbers
        forked = self._forked[number] = self._loop.create_future()
        ended = self._ended[number] = self._loop.create_future()
        try:
            await self._send({"fork": number}, [connection])
            await self.answer(forked)
            if ended.done() and ended.result() == LOST:
                raise DecoderError("the audio decoder is not running")
        except BaseException:
            self._forked.pop(number, None)
            self._ended.pop(number, None)
            raise
        return number, ended

    async def kill(self, number: int) -> None:
        """Kills that child if it still runs."""
        with contextlib.suppress(DecoderError):
            await self._send({"kill": number})

    async def answer(self, answer: asyncio.Future[T]) -> T:
        """Waits for what only the zygote can tell. One that hangs is killed, after which all that
        was waited for is known."""
        while not answer.done():
            heard = self._heard
            await asyncio.wait([answer], timeout=SILENCE)
            if not answer.done() and self._heard == heard:
                with contextlib.suppress(DecoderError):
                    await self._send({"ping": heard})
                await asyncio.wait([answer], timeout=SILENCE)
                if self._heard == heard:
                    self._give_up()
        return answer.result()

    async def close(self) -> None:
        """Ends the process (its children end with it), by force if it hangs."""
        self._let_go()
        try:
            async with asyncio.timeout(SILENCE):
                await self._process.wait()
        except TimeoutError:
            self._process.kill()
            await self._process.wait()

    async def _send(self, command: dict[str, int], fds: Sequence[int] = ()) -> None:
        data = json.dumps(command).encode()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(SILENCE):
                while not self.gone:
                    try:
                        socket.send_fds(self._commands, [data], list(fds))
                        return
                    except BlockingIOError:
                        await asyncio.sleep(0.005)
                    except OSError:
                        self._lost()
        self._give_up()
        raise DecoderError("the audio decoder is not running")

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
        self._heard += 1
        said = json.loads(data)
        if "ready" in said:
            _tell(self._ready, None)
        elif "forked" in said:
            _tell(self._forked.pop(said["forked"], None), None)
        elif "ended" in said:
            status = LOST if said["status"] is None else said["status"]
            _tell(self._ended.pop(said["ended"], None), status)
            _tell(self._forked.pop(said["ended"], None), None)

    def _give_up(self) -> None:
        if self.gone:
            return
        logger.error("the audio decoder hangs and is killed", pid=self._process.pid)
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()
        self._lost()

    def _lost(self) -> None:
        was_ready = self._ready.done()
        self._let_go()
        if was_ready:
            self._on_lost()

    def _let_go(self) -> None:
        if self.gone:
            return
        self.gone = True
        self._loop.remove_reader(self._commands.fileno())
        self._commands.close()
        if not self._ready.done():
            self._ready.set_exception(DecoderError("the audio decoder did not start"))
        for ended in self._ended.values():
            _tell(ended, LOST)
        for forked in self._forked.values():
            _tell(forked, None)
        self._ended.clear()
        self._forked.clear()


async def _launch() -> tuple[asyncio.subprocess.Process, socket.socket]:
    """The process and our end of its commands. Raises `DecoderError` where the system has no
    room for it."""
    try:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        with theirs:
            ours.setblocking(False)
            try:
                process = await asyncio.create_subprocess_exec(
                    sys.executable,
                    *("-m", "service.decoder.fork_server", str(theirs.fileno()), str(os.getpid())),
                    stdin=asyncio.subprocess.DEVNULL,
                    stdout=asyncio.subprocess.DEVNULL,
                    pass_fds=[theirs.fileno()],
                    env=_environment(),
                )
            except BaseException:
                ours.close()
                raise
    except OSError as error:
        raise DecoderError(f"the audio decoder cannot be started: {error}") from error
    return process, ours


def _tell(future: asyncio.Future[T] | None, result: T) -> None:
    if future is not None and not future.done():
        future.set_result(result)


def _environment() -> dict[str, str]:
    """What the zygote may know of the server's environment: where things are, nothing secret."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
