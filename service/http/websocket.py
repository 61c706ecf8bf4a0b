"""One WebSocket connection: uvicorn's, for clients that do not read, vanish, or mean harm."""

import asyncio
import logging
import math
import socket
import struct
from collections import deque
from typing import Any, NamedTuple
from uuid import uuid4

from uvicorn.protocols.websockets.websockets_sansio_impl import WebSocketsSansIOProtocol
from websockets.frames import CloseCode, Frame
from websockets.http11 import Request

from .connection import CONNECTION, CONNECTION_LOST
from .problems import Problem, ProblemCode, problem_response
from .request_stats import REQUEST_ID

logger = logging.getLogger(__name__)
_uvicorn = logging.getLogger(f"{__name__}.uvicorn")
_uvicorn.setLevel(logging.WARNING)  # its own lines repeat each request's target
_uvicorn.addFilter(lambda record: "Invalid UTF-8" not in record.msg)  # the client is told: 1007

MOST_MESSAGE = 1 << 20
"""Bytes of a client's message; more end the connection with 1009."""

MOST_UNEXPECTED = 1 << 16
"""The same of a client that should send no data."""

PING_INTERVAL = 10.0  # s
PING_TIMEOUT = 20.0
"""Seconds after a ping within which anything must come from the client."""

_PING_BYTES = 1 << 15  # sent between two pings
_SEND_BUFFER = 1 << 16  # bytes that the system holds for a client, about
_LEAST_READ = 1 << 12
_MOST_READ = 1 << 16
_SMALL = 1 << 8  # bytes of a frame, below which less is read at once
_MOST_UNSENT = 1 << 21
_MOST_FRAGMENTS = 1 << 10  # of a message
_MOST_QUEUED = 4  # messages that wait for the call before no more is read
_SHORT = 1 << 14  # bytes of a short message
_CLOSING = 5.0  # s in which a client must answer that the connection is closed
_OVERDUE = 5.0  # s that a client reads nothing, after which another may have its place
_COUNT = struct.Struct("!Q")

_END = {"type": "websocket.receive", "text": '{"type":"end"}'}


class _Ping(NamedTuple):
    payload: bytes
    sent: int
    time: float


class WebSocketConnection(WebSocketsSansIOProtocol):
    """Knows how much of what was sent the client has read: each ping carries the number of bytes
    before it, and every client answers pings in the order in which it reads. A client of which
    nothing comes for `PING_TIMEOUT` seconds after a ping is cut off, unless nothing is read of it
    just then. When the server stops, the call gets the message `{"type":"end"}`, as if from its
    client, and `going_away` is set.
    """

    idle_since: float | None = None
    """Never: nobody takes the connection of an open stream (see `listener.Evictable`)."""

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        self.logger = _uvicorn
        self.lost = asyncio.Event()
        """Set when the client has left."""
        self.going_away = False
        self._refused = False
        self.sent = 0
        """Bytes of messages."""
        self._acknowledged = 0
        self._pings: deque[_Ping] = deque()
        self._heard = self.loop.time()
        self._paused_at: float | None = None
        self._timer: asyncio.TimerHandle | None = None
        self.app_state = {**self.app_state, CONNECTION: self, CONNECTION_LOST: self.lost}

    @property
    def unacknowledged(self) -> int:
        """Bytes that were sent and may not have been read by the client's program."""
        return self.sent - self._acknowledged

    @property
    def takes_more(self) -> bool:
        """Whether `send` would not wait."""
        return self.writable.is_set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        super().connection_made(transport)
        self._read_at_most(_LEAST_READ)
        connection = transport.get_extra_info("socket")
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, _SEND_BUFFER)

    def connection_lost(self, exc: Exception | None) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self.lost.set()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        if self._refused:
            return
        self._heard = self.loop.time()
        super().data_received(data)
        if not self.handshake_initiated:  # all of it was in `data`
            self._reject()
            return
        # Pongs are sent at once: a client could have any number of them and read none.
        if self.transport.get_write_buffer_size() > _MOST_UNSENT:
            self._cut_off("does not read")

    def handle_events(self) -> None:
        """What one read has brought. The next one brings less where it was many small frames, so
        that no client keeps the event loop busy: a byte in a frame takes as long as a kilobyte."""
        sizes = [len(event.data) for event in self.conn.events if isinstance(event, Frame)]
        self._read_at_most(_LEAST_READ if sum(sizes) < _SMALL * len(sizes) else _MOST_READ)
        super().handle_events()

    def _read_at_most(self, size: int) -> None:
        self.transport.max_size = size  # type: ignore[attr-defined]

    def expect_no_data(self) -> None:
        """Hold no large message for a client that should send none."""
        self.conn.max_message_size = MOST_UNEXPECTED

    def handle_parser_exception(self) -> None:
        """Says why (1002, 1007, 1009), and leaves the client some time to read it: what it still
        sends is read and ignored, since unread bytes would reset the connection."""
        assert self.conn.close_sent is not None
        code, reason = self.conn.close_sent.code, self.conn.close_sent.reason
        self.queue.put_nowait({"type": "websocket.disconnect", "code": code, "reason": reason})
        self.transport.write(b"".join(self.conn.data_to_send()))
        self.close_sent = self._refused = True
        self.transport.resume_reading()
        self.close_timer = self.loop.call_later(_CLOSING, self.transport.abort)

    def send_receive_event_to_app(self) -> None:
        """As uvicorn's, which stops reading for each message; here a few short ones may wait: that
        costs no system calls where the call keeps up."""
        short = self.queue.qsize() < _MOST_QUEUED and sum(map(len, self.frames)) < _SHORT
        was_paused, self.read_paused = self.read_paused, short or self.read_paused
        super().send_receive_event_to_app()
        self.read_paused = was_paused if short else self.read_paused

    def handle_connect(self, event: Request) -> None:
        """As uvicorn's, but for its answer to what is refused."""
        if self.conn.accept(event).status_code == 101:
            super().handle_connect(event)
            return
        self.handshake_initiated = self.handshake_complete = self.close_sent = True
        self._reject()

    def _reject(self) -> None:
        """Answers a handshake that cannot be read or is none of version 13."""
        answer = problem_response(Problem(ProblemCode.BAD_REQUEST, "this is no handshake"))
        answer.headers[REQUEST_ID] = uuid4().hex
        answer.headers["Sec-WebSocket-Version"] = "13"
        answer.headers["Connection"] = "close"
        fields = b"".join(b"%s: %s\r\n" % field for field in answer.raw_headers)
        self.transport.write(b"HTTP/1.1 400 Bad Request\r\n%s\r\n%s" % (fields, answer.body))
        self.transport.close()

    def handle_cont(self, event: Frame) -> None:
        """Part of a message; each is counted, since it may be empty."""
        if len(self.frames) < _MOST_FRAGMENTS:
            super().handle_cont(event)
        elif not self.close_sent:
            self.conn.fail(CloseCode.MESSAGE_TOO_BIG, "too many fragments")
            self.handle_parser_exception()

    def pause_writing(self) -> None:
        super().pause_writing()
        self._paused_at = self.loop.time()

    def resume_writing(self) -> None:
        super().resume_writing()
        self._paused_at = None

    def answer_due(self) -> float:
        """When the client must have read something (`loop.time`); infinity while it is not waited
        for."""
        return math.inf if self._paused_at is None else self._paused_at + _OVERDUE

    def evict(self) -> None:
        """Closes it at once."""
        self.transport.abort()

    def shutdown(self) -> None:
        """The server stops: a call under way gets its end, and closes the connection."""
        if self.handshake_initiated and not self.close_sent and not self.disconnected:
            self.going_away = True
            self.queue.put_nowait(_END)  # type: ignore[arg-type]
        else:
            super().shutdown()

    async def send(self, message: Any) -> None:
        """As uvicorn's: waits while more than 64 KiB are not taken by the system."""
        await super().send(message)
        if message["type"] == "websocket.close" and self.close_timer is not None:
            self.close_timer.cancel()
            self.close_timer = self.loop.call_later(_CLOSING, self.transport.abort)
        if message["type"] == "websocket.send":
            before = self.sent // _PING_BYTES
            self.sent += len(message.get("bytes") or message.get("text") or "")
            if self.sent // _PING_BYTES > before:
                self._ping()

    def start_keepalive(self) -> None:
        """Once the handshake is done."""
        self._watch()

    def handle_pong(self, event: Frame) -> None:
        """The client has read all that was sent before this ping, and the pings before it."""
        if any(ping.payload == event.data for ping in self._pings):
            while (ping := self._pings.popleft()).payload != event.data:
                pass
            self._acknowledged = ping.sent

    def _watch(self) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        now = self.loop.time()
        if self.read_paused:
            self._heard = now
        if self._pings and now - max(self._heard, self._pings[0].time) > PING_TIMEOUT:
            self._cut_off("does not answer pings")
            return
        self._ping()
        self._timer = self.loop.call_later(PING_INTERVAL, self._watch)

    def _cut_off(self, why: str) -> None:
        logger.info("a connection is closed: the client %s", why)
        self.transport.abort()

    def _ping(self) -> None:
        if self.close_sent or self.transport.is_closing():
            return
        payload = _COUNT.pack(self.sent)
        if self._pings and self._pings[-1].payload == payload:
            return  # nothing was sent since
        self._pings.append(_Ping(payload, self.sent, self.loop.time()))
        self.conn.send_ping(payload)
        self.transport.write(b"".join(self.conn.data_to_send()))
