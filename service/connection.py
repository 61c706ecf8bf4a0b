"""One connection: uvicorn's HTTP/1.1, for clients that are slow, leave, or do not speak HTTP."""

import asyncio
import fcntl
import logging
import sys
import termios
from typing import Any

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .coding.together import LOST
from .middleware.request_id import HEADER, new_id
from .problem_handlers import problem_response
from .problems import Problem, ProblemCode

logger = logging.getLogger(__name__)


class Connection(H11Protocol):
    """Bounds what uvicorn waits for without end: the head of a request, what is left of a body
    whose answer has been given, and a client that takes nothing of its answer.

    Calls find in the state of their scope, under `LOST`, an event that tells when the client has
    left, though they do not read; not while more than 64 KiB of its body wait, when nothing is read
    of the socket. What is no HTTP is answered with a problem document.
    """

    def __init__(self, *args: Any, read_timeout: float, write_timeout: float, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._read_timeout = read_timeout
        self._write_timeout = write_timeout
        self._lost = asyncio.Event()
        self._late: asyncio.TimerHandle | None = None
        self._stalled: asyncio.TimerHandle | None = None
        self._draining = False
        self.app_state = {**self.app_state, LOST: self._lost}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_client()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_client()

    def connection_lost(self, exc: Exception | None) -> None:
        self._late = _stopped(self._late)
        self._stalled = _stopped(self._stalled)
        self._lost.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._stalled = _stopped(self._stalled)

    def send_400_response(self, msg: str) -> None:
        """As all other errors are, where no answer has begun; else there is nothing to say."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = problem_response(Problem(ProblemCode.BAD_REQUEST, "this is not HTTP/1.1"))
            headers = [
                *answer.raw_headers,
                (HEADER.encode(), new_id().encode()),
                (b"Connection", b"close"),
            ]
            to_head = self.conn.our_state is h11.SEND_RESPONSE and self.scope["method"] == "HEAD"
            for event in (
                h11.Response(status_code=400, headers=headers, reason=b"Bad Request"),
                h11.Data(data=b"" if to_head else bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch_client(self) -> None:
        """Let it not take for ever, where no call reads: the calls have a time-out of their own."""
        answered = self.conn.our_state is h11.DONE
        idle = self.conn.their_state is h11.IDLE
        if self._draining and not answered:  # the rest of the body has come
            self._late = _stopped(self._late)
        self._draining = answered
        if not idle and not answered:
            self._late = _stopped(self._late)
        elif idle and self.timeout_keep_alive_task is None and self._between_requests():
            self._late = _stopped(self._late)
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif self._late is None and not self.transport.is_closing():
            self._late = self.loop.call_later(
                self._read_timeout, self._give_up, "does not come to the end of its request"
            )

    def _between_requests(self) -> bool:
        """Whether a request was answered and nothing of the next one has come."""
        return self.cycle is not None and not self.conn.trailing_data[0]

    def _watch_answer(self) -> None:
        """Until it goes on: a slow reader is one as long as it takes anything at all."""
        untaken = self._untaken()

        def look() -> None:
            if self._untaken() < untaken:
                self._watch_answer()
            else:
                self._give_up("takes nothing of its answer")

        self._stalled = self.loop.call_later(self._write_timeout, look)

    def _untaken(self) -> int:
        """Bytes of the answer that the client's system has not confirmed. Linux keeps megabytes
        of them, and tells us that there is room again when a good part of those has gone."""
        queued = bytearray(4)
        fcntl.ioctl(self.transport.get_extra_info("socket").fileno(), termios.TIOCOUTQ, queued)
        kept = int.from_bytes(queued, sys.byteorder)
        return kept + self.transport.get_write_buffer_size()

    def _give_up(self, why: str) -> None:
        logger.info("a connection is closed: the client %s", why)
        self.transport.abort()


def _stopped(timer: asyncio.TimerHandle | None) -> asyncio.TimerHandle | None:
    if timer is not None:
        timer.cancel()
    return None
