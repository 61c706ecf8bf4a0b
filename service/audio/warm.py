"""The server's end of the warm process from which decoding children are forked."""

import asyncio
import contextlib
import json
import os
import socket
import sys
from collections.abc import Callable
from typing import Any

from model_core.errors import EncodecError

from .wire import MAX_TEXT, Job

LOST = -1_000
"""Status of a child whose zygote is gone or could not fork."""

PATIENCE = 10.0
"""Seconds until a process is killed that does not end by itself."""

_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ")


class AudioProcessError(EncodecError):
    """No decoding process can be had: the server's trouble, not the upload's."""


class WarmProcess:
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
        self._exits: dict[int, asyncio.Future[int]] = {}
        self._ready: asyncio.Future[None] = self._loop.create_future()
        self._numbers = 0
        self.gone = False
        self._loop.add_reader(commands.fileno(), self._hear)

    @classmethod
    async def start(cls, on_lost: Callable[[], None]) -> "WarmProcess":
        """Raises `AudioProcessError` when it does not come up; `on_lost` is called when it ends
        later without having been told to."""
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        ours.setblocking(False)
        with theirs:
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "service.audio.zygote", str(theirs.fileno())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_environment(),
            )
        zygote = cls(process, ours, on_lost)
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
        self._let_go()
        try:
            async with asyncio.timeout(PATIENCE):
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
            exited.set_result(LOST if said["status"] is None else said["status"])

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
            self._ready.set_exception(AudioProcessError("the audio decoder did not start"))
        for exited in self._exits.values():
            if not exited.done():
                exited.set_result(LOST)
        self._exits.clear()


def _environment() -> dict[str, str]:
    """What the zygote may know of the server's environment: where things are, nothing secret."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    path = os.pathsep.join(entry for entry in sys.path if entry)
    return {**kept, "PYTHONPATH": path, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
