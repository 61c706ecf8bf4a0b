"""One connection: uvicorn's HTTP/1.1, for clients that are slow, leave, or do not speak HTTP."""

import asyncio
import fcntl
import logging
import sys
import termios
from typing import Any
from uuid import uuid4

import h11
from uvicorn.protocols.http.h11_impl import H11Protocol

from .middleware import REQUEST_ID
from .problems import Problem, ProblemCode, problem_response

logger = logging.getLogger(__name__)

CONNECTION_LOST = "connection_lost"
"""In the state of a request's scope: an `asyncio.Event` that is set when the client has left."""


class Connection(H11Protocol):
    """Limits what uvicorn waits for forever: the head of a request, the rest of a body whose
    answer has been given, and a client that reads nothing of its answer.

    Calls find an event in the state of their scope, under `CONNECTION_LOST`, that tells them when
    the client has left although they do not read (unless more than 64 KiB of its body wait: then
    nothing is read from the socket). What is not HTTP is answered with a problem document.
    """

    def __init__(self, *args: Any, read_timeout: float, write_timeout: float, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self._read_timeout = read_timeout
        self._write_timeout = write_timeout
        self._client_left = asyncio.Event()
        self._read_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._draining = False
        self.app_state = {**self.app_state, CONNECTION_LOST: self._client_left}

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self._watch_client()

    def data_received(self, data: bytes) -> None:
        super().data_received(data)
        self._watch_client()

    def connection_lost(self, exc: Exception | None) -> None:
        self._read_timer = _stopped(self._read_timer)
        self._write_timer = _stopped(self._write_timer)
        self._client_left.set()
        super().connection_lost(exc)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._watch_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._write_timer = _stopped(self._write_timer)

    def send_400_response(self, msg: str) -> None:
        """A problem document where no answer has begun; otherwise the connection just closes."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = problem_response(Problem(ProblemCode.BAD_REQUEST, "this is not HTTP/1.1"))
            answer.headers[REQUEST_ID] = uuid4().hex
            answer.headers["Connection"] = "close"
            to_head = self.conn.our_state is h11.SEND_RESPONSE and self.scope["method"] == "HEAD"
            for event in (
                h11.Response(status_code=400, headers=answer.raw_headers, reason=b"Bad Request"),
                h11.Data(data=b"" if to_head else bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self.transport.close()

    def _watch_client(self) -> None:
        """Limit the wait for a request's head, and for the rest of a body that was answered early.
        While a call reads the body, the call itself limits the wait."""
        idle = self.conn.their_state is h11.IDLE
        draining = self.conn.our_state is h11.DONE
        if not draining and (self._draining or not idle):  # the head or the body has ended
            self._read_timer = _stopped(self._read_timer)
        self._draining = draining
        nothing_sent = not self.conn.trailing_data[0]  # of the next request
        after_answer = idle and self.cycle is not None and nothing_sent
        if after_answer and self.timeout_keep_alive_task is None:
            self._read_timer = _stopped(self._read_timer)
            self.timeout_keep_alive_task = self.loop.call_later(
                self.timeout_keep_alive, self.timeout_keep_alive_handler
            )
        elif (idle or draining) and self._read_timer is None and not self.transport.is_closing():
            self._read_timer = self.loop.call_later(
                self._read_timeout, self._give_up, "does not finish its request"
            )

    def _watch_answer(self) -> None:
        """Close the connection of a client that reads nothing for `write_timeout` seconds; one
        that reads slowly is kept."""
        unread = self._unread()

        def look() -> None:
            if self._unread() < unread:
                self._watch_answer()
            else:
                self._give_up("reads nothing of its answer")

        self._write_timer = self.loop.call_later(self._write_timeout, look)

    def _unread(self) -> int:
        """Bytes of the answer that the client's system has not acknowledged. Linux buffers
        megabytes of them, and reports room only when a good part of those has been sent."""
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
