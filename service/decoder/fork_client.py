"""The server's end of the fork server, and of each child that it forks."""

import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Awaitable
from pathlib import Path
from typing import TypeVar

import structlog

from ..cancellation import create_task_apart
from .protocol import FORK, READY, REPORT, DecodeRequest, DecoderError, send_request

logger = structlog.get_logger(__name__)

T = TypeVar("T")

_PATIENCE = 3.0  # s that a fork server may take to answer (it takes milliseconds)
_LINGER = 1.0  # s that a child may take to end once it has closed its socket

_KEPT = ("PATH", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "TMPDIR", "TZ")


class ForkServer:
    """Forks children on request. One that hangs is killed; its children end with it."""

    def __init__(self, process: asyncio.subprocess.Process, commands: socket.socket) -> None:
        self._process = process
        self._commands = commands
        self._turn = asyncio.Lock()
        self._killed = False

    @classmethod
    async def start(cls) -> "ForkServer":
        """Waits until it is ready, which takes less than a second, or for as long as it is let.
        Raises `DecoderError` when it does not come up."""
        server = cls(*await _launch())
        loop = asyncio.get_running_loop()
        try:
            if await loop.sock_recv(server._commands, len(READY)) != READY:
                raise DecoderError("the audio decoder did not start")
        except BaseException:
            server._kill()
            await server.close()
            raise
        return server

    @property
    def pid(self) -> int:
        """Of its process."""
        return self._process.pid

    @property
    def gone(self) -> bool:
        """Whether its process has ended."""
        return self._process.returncode is not None

    async def ended(self) -> None:
        """Waits until its process has ended."""
        await self._process.wait()
        self._commands.close()

    async def fork(self) -> "Child":
        """A new child. Raises `DecoderError` when there is none to be had: the fork server is gone
        or hangs, or the system has no room for a process."""
        with contextlib.ExitStack() as stack:
            connection, child_end = map(stack.enter_context, socket.socketpair())
            kind = socket.AF_UNIX, socket.SOCK_SEQPACKET
            report, report_end = map(stack.enter_context, socket.socketpair(*kind))
            connection.setblocking(False)
            report.setblocking(False)
            # One at a time, so that many that wait are not taken for a fork server that hangs.
            async with self._turn:
                with contextlib.suppress(OSError), child_end, report_end:
                    ends = [child_end.fileno(), report_end.fileno()]
                    socket.send_fds(self._commands, [FORK], ends)
                await self.answer(_readable(report))
            flags = socket.MSG_CMSG_CLOEXEC
            answer, fds, _, _ = socket.recv_fds(report, REPORT.size, 1, flags)
            if not answer:  # nobody holds the other end any more
                await self.answer(self._process.wait())
                raise DecoderError("the audio decoder has died")
            if not fds:
                reason = os.strerror(*REPORT.unpack(answer))
                raise DecoderError(f"no audio decoder can be started: {reason}")
            stack.pop_all()
        return Child(self, REPORT.unpack(answer)[0], fds[0], connection, report)

    async def answer(self, answer: Awaitable[T]) -> T:
        """Waits for what only the fork server can tell. Raises `DecoderError` where it does not:
        it is killed then."""
        try:
            async with asyncio.timeout(_PATIENCE):
                return await answer
        except TimeoutError:
            if not self._killed:
                logger.error("the audio decoder hangs and is killed", pid=self.pid)
                self._kill()
            await self._process.wait()
            raise DecoderError("the audio decoder hung") from None

    async def close(self) -> None:
        """Ends the process (its children end with it), by force if it hangs."""
        self._commands.close()
        try:
            async with asyncio.timeout(_PATIENCE):
                await self._process.wait()
        except TimeoutError:
            self._kill()
            await self._process.wait()

    def _kill(self) -> None:
        self._killed = True
        with contextlib.suppress(ProcessLookupError):
            self._process.kill()


class Child:
    """A forked child: it waits for its one request, does it, and ends."""

    def __init__(
        self,
        server: ForkServer,
        pid: int,
        pidfd: int,
        connection: socket.socket,
        report: socket.socket,
    ) -> None:
        self.pid = pid
        self.over_budget = False
        """It was killed for the memory that it used."""
        self._server = server
        self._pidfd = pidfd
        self._status = create_task_apart(self._reported(report))
        self.connection = connection
        """Ours: blocks come from it. The child ends when it is closed."""

    @property
    def gone(self) -> bool:
        """Whether it has ended in any way."""
        return self._status.done()

    @property
    def stopped(self) -> bool:
        """Whether it does nothing, and not because it waits for the server."""
        return self.activity()[0] not in ("R", "S")

    def activity(self) -> tuple[str, int]:
        """Its state, R for running, S for waiting and so on (`proc(5)`), empty once it is gone; and
        its CPU time so far, in ticks."""
        try:
            stat = Path(f"/proc/{self.pid}/stat").read_text()
        except OSError:
            return "", 0
        fields = stat.rpartition(")")[2].split()
        return fields[0], int(fields[11]) + int(fields[12])

    def begin(self, request: DecodeRequest, upload: int) -> None:
        """Sends it the request and the descriptor of the upload. Raises `DecoderError`, and closes
        the connection, when it has ended meanwhile."""
        try:
            send_request(self.connection, request, upload)
        except OSError as error:
            self.connection.close()
            raise DecoderError("the audio decoder has died") from error

    def kill(self) -> None:
        """Kills it if it still runs; does not wait for its end."""
        if not self._status.done():
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    async def exit_status(self) -> int:
        """How it ended (minus the signal's number if a signal ended it), now that it has closed its
        socket or has been killed. Raises `DecoderError` when nobody can tell: it is lost with its
        fork server, or cannot be killed."""
        await asyncio.wait([self._status], timeout=_LINGER)
        self.kill()
        if not self._status.done() and self.activity()[0] == "D":
            raise DecoderError("the audio decoder hangs in the system")
        status = await self._server.answer(asyncio.shield(self._status))
        if status is None:
            raise DecoderError("the audio decoder has died")
        return status

    async def _reported(self, report: socket.socket) -> int | None:
        """Its exit status, once it has ended; None when it is lost with its fork server."""
        try:
            answer = await asyncio.get_running_loop().sock_recv(report, REPORT.size)
        except OSError:
            answer = b""
        finally:
            report.close()
            os.close(self._pidfd)
        return REPORT.unpack(answer)[0] if answer else None


async def _readable(end: socket.socket) -> None:
    """Waits until there is something to receive."""
    loop = asyncio.get_running_loop()
    ready = asyncio.Event()
    loop.add_reader(end, ready.set)
    try:
        await ready.wait()
    finally:
        loop.remove_reader(end)


async def _launch() -> tuple[asyncio.subprocess.Process, socket.socket]:
    """The process and our end of its commands. Raises `DecoderError` where the system has no room
    for it."""
    try:
        with contextlib.ExitStack() as stack:
            kind = socket.AF_UNIX, socket.SOCK_SEQPACKET
            ours, theirs = map(stack.enter_context, socket.socketpair(*kind))
            ours.setblocking(False)
            process = await asyncio.create_subprocess_exec(
                sys.executable,
                *("-m", "service.decoder.fork_server", str(theirs.fileno()), str(os.getpid())),
                stdin=asyncio.subprocess.DEVNULL,
                stdout=asyncio.subprocess.DEVNULL,
                pass_fds=[theirs.fileno()],
                env=_environment(),
                start_new_session=True,  # Ctrl-C in the server's terminal is not for it
            )
            theirs.close()
            stack.pop_all()
    except OSError as error:
        raise DecoderError(f"the audio decoder cannot be started: {error}") from error
    return process, ours


def _environment() -> dict[str, str]:
    """What the fork server may know of the server's environment: where things are, no secrets."""
    kept = {name: os.environ[name] for name in _KEPT if name in os.environ}
    return kept | {
        "PYTHONPATH": os.pathsep.join(entry for entry in sys.path if entry),
        "OMP_NUM_THREADS": "1",
        "OPENBLAS_NUM_THREADS": "1",
        "LD_BIND_NOW": "1",  # symbols are looked up once, not in every child
    }
