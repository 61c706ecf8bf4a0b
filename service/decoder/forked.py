"""The server's end of one decoding child."""

import asyncio
import contextlib
import socket
from dataclasses import dataclass

from .fork_client import DecoderError, ForkServer
from .protocol import Job, send_job

_LINGER = 1.0  # seconds that a child may take to end when it has closed its socket
_PATIENCE = 10.0  # seconds that the end of a killed child is waited for


@dataclass(frozen=True)
class Child:
    """A forked child: it waits for its one job, does it, and ends."""

    zygote: ForkServer
    number: int
    connection: socket.socket
    """Ours: blocks come from it. The child ends when it is closed."""
    ended: asyncio.Future[int]
    """Its exit status to come (minus the signal's number if a signal ended it), or `LOST`."""

    @classmethod
    async def fork(cls, zygote: ForkServer) -> "Child":
        """Raises `DecoderError` when there is none to be had."""
        ours, theirs = socket.socketpair()
        try:
            with theirs:
                number, ended = await zygote.fork(theirs.fileno())
        except BaseException:
            ours.close()  # which ends the child if there is one
            raise
        ours.setblocking(False)
        return cls(zygote, number, ours, ended)

    def begin(self, job: Job, upload: int) -> None:
        """Gives it the job and the descriptor of the upload. Raises `DecoderError` when it
        has ended meanwhile; it is closed then."""
        try:
            send_job(self.connection, job, upload)
        except OSError as error:
            self.connection.close()
            raise DecoderError("the audio decoder is not running") from error

    async def status(self) -> int:
        """How it ended, now that it has closed its socket."""
        await asyncio.wait([self.ended], timeout=_LINGER)
        await self.kill()
        return await self.zygote.answer(self.ended)

    async def kill(self) -> None:
        """Kills it if it still runs; does not wait for its end."""
        if not self.ended.done():
            await self.zygote.kill(self.number)

    async def gone(self) -> None:
        """Waits for its end, not forever, now that it has been killed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(_PATIENCE):
                await self.zygote.answer(self.ended)
