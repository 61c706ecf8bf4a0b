"""One connection: uvicorn's HTTP/1.1, for clients that are slow, leave, or mean harm."""

import asyncio
import fcntl
import logging
import math
import socket
import sys
import termios
import time
from http import HTTPStatus
from typing import Any
from uuid import uuid4

import h11
from uvicorn.protocols.http.flow_control import FlowControl
from uvicorn.protocols.http.h11_impl import H11Protocol

from .problems import Problem, ProblemCode, problem_response
from .request_stats import REQUEST_ID

logger = logging.getLogger(__name__)

CONNECTION_LOST = "connection_lost"
"""In the state of a request's scope: an `asyncio.Event` that is set when the client has left."""

CONNECTION = "connection"
"""There too: the `Connection` itself."""

MOST_HEAD = 1 << 16
"""Bytes of a request's head, of a chunk's, and of trailers."""

_LEAST_READ = 1 << 12  # bytes read and parsed in one turn of the event loop
_MOST_READ = 1 << 16
_MOST_FRAMING = 1 << 16  # bytes of a body's framing, unless there is half as much data
_MOST_IGNORED = 1 << 20  # bytes read of a client that has been refused
_IGNORING = 5.0  # s
_OVERDUE = 5.0  # s without bytes of the answer being read
_PROBES = (0.0, 0.5, 2.0)  # s after a client has half-closed
_KEEPALIVE = 5  # s before the system's first probe of such a client, and between two


class _Flow(FlowControl):
    """Reads nothing while `full`, whoever wants to go on."""

    full = False

    def resume_reading(self) -> None:
        if not self.full:
            super().resume_reading()


class Connection(H11Protocol):
    """Limits what uvicorn waits for forever: the head of a request, the rest of a body whose
    answer has been given, and a client that reads its answer too slowly (`min_rate` bytes a second
    over `write_timeout` seconds).

    Calls find an event in the state of their scope, under `CONNECTION_LOST`, that tells them when
    the client has left although they do not read (unless more than 64 KiB of its body wait, or
    4 KiB of its next request: then nothing is read from the socket). A client that closes its
    sending side after a whole request gets its answer. What is not HTTP, or is mostly framing, is
    answered with a problem document. A GET that asks for a WebSocket goes on as one, in a
    `WebSocketConnection`.
    """

    def __init__(
        self,
        *args: Any,
        read_timeout: float,
        write_timeout: float,
        min_rate: float,
        **kwargs: Any,
    ):
        super().__init__(*args, **kwargs)
        self._read_timeout = read_timeout
        self._write_timeout = write_timeout
        self._min_rate = min_rate
        self._client_left = asyncio.Event()
        self._read_timer: asyncio.TimerHandle | None = None
        self._write_timer: asyncio.TimerHandle | None = None
        self._paused: tuple[float, int] | None = None  # when, and what was unread then (bytes)
        self._draining = False
        self._half_closed = False
        self._refused = False
        self._upgraded = False
        self._ignored = 0  # bytes, since it was refused
        self._weighed: object = None  # the request whose body is weighed
        self._framing = 0  # bytes of its framing
        self._data = 0
        self._answered = time.monotonic()
        self.app_state = {
            **self.app_state,
            CONNECTION_LOST: self._client_left,
            CONNECTION: self,
        }

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        self.flow = self._flow = _Flow(transport)
        self._read_at_most(_LEAST_READ)
        self._watch_client()

    def data_received(self, data: bytes) -> None:
        if self._refused:
            self._ignored += len(data)
            if self._ignored > _MOST_IGNORED:
                self.transport.abort()
            return
        cycle, unparsed = self.cycle, len(self.conn.trailing_data[0])
        before = 0 if cycle is None else len(cycle.body)
        super().data_received(data)
        if self._upgraded:
            return
        if self._weighed is not self.cycle:
            self._weighed = self.cycle
            self._framing = self._data = 0
        if cycle is self.cycle:
            grown = 0 if cycle is None else len(cycle.body) - before
            # What is not parsed yet may be the next request's.
            parsed = unparsed + len(data) - len(self.conn.trailing_data[0])
            self._weigh_framing(parsed, grown)
        self._limit_next()
        self._watch_client()

    def eof_received(self) -> bool:  # type: ignore[override]
        """Keeps the connection open for an answer to a request that is whole."""
        answering = self.cycle is not None and not self.cycle.response_complete
        self._half_closed = answering and self._is_whole()
        if self._half_closed:
            self._let_the_system_probe()
            for delay in _PROBES:
                self.loop.call_later(delay, self._probe)
        return self._half_closed

    def on_response_complete(self) -> None:
        self._answered = time.monotonic()
        if self._half_closed and not self.conn.trailing_data[0]:
            self.transport.close()
        self._flow.full = False
        super().on_response_complete()
        self._limit_next()

    def connection_lost(self, exc: Exception | None) -> None:
        self._read_timer = _stopped(self._read_timer)
        self._write_timer = _stopped(self._write_timer)
        self._client_left.set()
        super().connection_lost(exc)

    def handle_websocket_upgrade(self, event: h11.Request) -> None:
        """The connection is another protocol's from here on."""
        self._upgraded = True
        self._read_timer = _stopped(self._read_timer)
        super().handle_websocket_upgrade(event)

    def _should_upgrade(self) -> bool:
        is_get = self.scope["method"] == "GET" and self.scope["http_version"] == "1.1"
        return is_get and bool(super()._should_upgrade())

    @property
    def idle_since(self) -> float | None:
        """When its last request ended, or it began; None until its answer has left."""
        answering = self.cycle is not None and not self.cycle.response_complete
        return None if answering or self.transport.get_write_buffer_size() else self._answered

    def evict(self) -> None:
        """Closes it at once."""
        self.transport.abort()

    def answer_due(self) -> float:
        """When the client must have read more of its answer, by `min_rate`; infinity while it is
        not waited for."""
        if self._paused is None or self.transport.is_closing():
            return math.inf
        since, unread = self._paused
        return since + (unread - self._unread()) / max(1, self._min_rate) + _OVERDUE

    def pause_writing(self) -> None:
        super().pause_writing()
        self._paused = self.loop.time(), self._unread()
        self._watch_answer()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._paused = None
        self._write_timer = _stopped(self._write_timer)

    def send_400_response(self, msg: str) -> None:
        error = sys.exception()
        if isinstance(error, h11.RemoteProtocolError) and error.error_status_hint == 431:
            detail = f"more than {MOST_HEAD >> 10} KiB of request line, headers or framing"
            self._refuse(Problem(ProblemCode.HEAD_TOO_LARGE, detail))
            return
        self._refuse(Problem(ProblemCode.BAD_REQUEST, f"this is not HTTP/1.1: {error or msg}"))

    def _refuse(self, problem: Problem) -> None:
        """Answers with a problem document where no answer has begun, and closes the connection
        when the client has had time to read it: what it still sends is read and ignored."""
        if self.cycle is not None and not self.cycle.response_complete:
            self.cycle.disconnected = True
            self.cycle.message_event.set()
        if self.conn.our_state in (h11.IDLE, h11.SEND_RESPONSE):
            answer = problem_response(problem)
            answer.headers[REQUEST_ID] = uuid4().hex
            answer.headers["Connection"] = "close"
            to_head = self.conn.our_state is h11.SEND_RESPONSE and self.scope["method"] == "HEAD"
            for event in (
                h11.Response(
                    status_code=problem.status,
                    headers=answer.raw_headers,
                    reason=HTTPStatus(problem.status).phrase.encode(),
                ),
                h11.Data(data=b"" if to_head else bytes(answer.body)),
                h11.EndOfMessage(),
            ):
                self.transport.write(self.conn.send(event) or b"")
        self._refused = True
        self.transport.write_eof()
        self.transport.resume_reading()
        self.loop.call_later(_IGNORING, self.transport.abort)

    def _weigh_framing(self, parsed: int, data: int) -> None:
        """Counts what a body's bytes are, and reads so much at once that one client cannot keep
        the event loop busy: a byte in a chunk of its own takes as long as a kilobyte in one."""
        if self.conn.our_state is h11.DONE:
            return  # the rest of a body that was answered is not kept
        self._data += data
        self._framing += parsed - data
        if self._framing > max(_MOST_FRAMING, 2 * self._data):
            detail = "the body has more framing than data"
            self._refuse(Problem(ProblemCode.BAD_REQUEST, detail))
        small = parsed - data > parsed // 8
        self._read_at_most(_LEAST_READ if small else 2 * self.transport.max_size)  # type: ignore[attr-defined]

    def _limit_next(self) -> None:
        """Reads little of the next request while one is answered: it is parsed in one go."""
        if self._is_whole():
            self._flow.full = len(self.conn.trailing_data[0]) > _LEAST_READ
            self._read_at_most(_LEAST_READ)

    def _is_whole(self) -> bool:
        """Whether the current request has been received to its end."""
        return self.conn.their_state in (h11.DONE, h11.MUST_CLOSE)

    def _read_at_most(self, size: int) -> None:
        self.transport.max_size = min(size, _MOST_READ)  # type: ignore[attr-defined]

    def _probe(self) -> None:
        """Tells a client that waits for the rest of its answer from one that has gone: to the
        latter nothing can be sent. Only 1xx responses may come before an answer."""
        waits = self.conn.our_state is h11.SEND_RESPONSE and not self.transport.is_closing()
        if waits and self.conn.their_http_version == b"1.1":
            probe = h11.InformationalResponse(status_code=102, headers=[], reason=b"Processing")
            self.transport.write(self.conn.send(probe) or b"")

    def _let_the_system_probe(self) -> None:
        """Have the system ask the client's whether it still knows the connection. Linux's does for
        a minute after the client has gone. (Nothing else tells where `_probe` sends nothing.)"""
        connection = self.transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE, _KEEPALIVE)
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPINTVL, _KEEPALIVE)

        def look() -> None:  # asyncio no longer does, after the end of what is received
            if self.transport.is_closing():
                return
            if connection.getsockopt(socket.SOL_SOCKET, socket.SO_ERROR):
                self._give_up("has gone")
            else:
                self.loop.call_later(_KEEPALIVE, look)

        look()

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
        """Close the connection of a client that reads less than `min_rate` allows."""
        unread = self._unread()
        least = max(1, self._min_rate * self._write_timeout)

        def look() -> None:
            if unread - self._unread() >= min(least, unread):
                self._watch_answer()
            else:
                self._give_up("reads its answer too slowly")

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
