"""What surrounds every call, as plain ASGI: the request's id, its log line, metrics, timings and
trace, and the rest of a body whose answer came early."""

import asyncio
import re
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING
from uuid import uuid4

import structlog
from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from ..metrics import Metrics
from ..timings import SERVER_TIMING, Timings
from .problems import Problem

if TYPE_CHECKING:
    from ..telemetry import RequestTrace, Telemetry

logger = structlog.get_logger(__name__)

REQUEST_ID = "X-Request-ID"
CLIENT_GONE = 499
"""The status counted for a request whose client left before the answer began."""

DRAIN_SECONDS = 30.0
"""The longest time that the rest of a body is waited for."""
_SMALL_REST = 1 << 20  # bytes of a body that are read so that the connection can be kept
_DRAIN_BYTES = 1 << 26  # read at most before the connection is closed
_DRAIN_BYTES_401 = 1 << 20

_MOST_LOGGED = 200

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)
_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


def shortened(text: str) -> str:
    """What a client has sent, as it is logged and echoed: not at any length."""
    return text if len(text) <= _MOST_LOGGED else f"{text[:_MOST_LOGGED]}... ({len(text)})"


@dataclass
class RequestStats:
    """What is known of a request while it runs. Calls fill in `model` and `audio_seconds`."""

    timings: Timings = field(default_factory=Timings)
    model: str | None = None
    """As headers name it."""
    audio_seconds: float | None = None
    """Of the audio received or sent."""
    seconds_to_encode: float | None = None
    """Of the audio received, as it says itself."""
    seconds_to_decode: float = 0.0
    """Of the audio that the answer is made of."""
    seconds_decoded: float = 0.0
    """Of them, those that are done."""
    problem: Problem | None = None
    """What ended it, whether or not an answer had begun."""
    bytes_in: int = 0
    bytes_out: int = 0
    status: int | None = None
    key: str | None = None
    """The name of the API key, where there are any."""
    complete: bool = False
    """Whether the whole answer was sent."""


def request_stats(request: HTTPConnection) -> RequestStats:
    """The statistics of a request, to be filled in by its call."""
    stats: RequestStats = request.scope.setdefault("state", {}).setdefault(
        "request_stats", RequestStats()
    )
    return stats


def request_id_of(scope: Scope) -> str:
    """The client's where that is short and plain, else a new one."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _SANE_ID.fullmatch(given) else uuid4().hex


class RequestLog:
    """Writes one log line for every request, counts it in the metrics and, where there is
    `telemetry`, traces it.

    Gives it an id (`request_id_of`), which its answer and all of its log lines carry, with the ids
    of its trace. The answer says how long its phases took.
    """

    def __init__(self, app: ASGIApp, metrics: Metrics, telemetry: "Telemetry | None" = None):
        self._app = app
        self._metrics = metrics
        self._telemetry = telemetry

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        stats = request_stats(HTTPConnection(scope))
        request_id = request_id_of(scope)
        method = scope["method"] if scope["method"] in _METHODS else "other"
        trace = None
        if self._telemetry is not None and not _is_probe(scope["path"]):
            about = {"url.path": shortened(scope["path"]), "encodec.request_id": request_id}
            trace = self._telemetry.begin(scope, method, about)
        stats.timings.trace = trace if trace and trace.sampled else None
        answered: float | None = None

        async def counted_receive() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                stats.bytes_in += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            nonlocal answered
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers[REQUEST_ID] = request_id
                headers[SERVER_TIMING] = stats.timings.header()
                if trace:
                    headers.update(trace.response_headers)
                answered = time.monotonic()
            await send(message)
            if message["type"] == "http.response.start":
                stats.status = message["status"]
            elif message["type"] == "http.response.body":
                stats.bytes_out += len(message.get("body", b""))
                stats.complete = not message.get("more_body", False)

        with ExitStack() as stack:
            stack.enter_context(bound_contextvars(request_id=request_id))
            stack.enter_context(self._metrics.in_flight.track_inprogress())
            if trace:
                stack.enter_context(trace.current())
                ids = {"trace_id": trace.id, "span_id": trace.span_id}
                stack.enter_context(bound_contextvars(**ids))
            try:
                await self._app(scope, counted_receive, counted_send)
            finally:
                self._finish(scope, method, stats, trace, answered)

    def _finish(
        self,
        scope: Scope,
        method: str,
        stats: RequestStats,
        trace: "RequestTrace | None",
        answered: float | None,
    ) -> None:
        route = _route(scope)
        status = stats.status or CLIENT_GONE
        now = time.monotonic()
        seconds = now - stats.timings.started
        exemplar = trace.id if trace and trace.sampled else None
        self._metrics.request_done(method, route, status, seconds, exemplar)
        self._metrics.bodies(stats.bytes_in, stats.bytes_out)
        if stats.status is not None and not stats.complete:
            self._metrics.response_cut_off(route)
        fields = {
            "method": shortened(scope["method"]),
            "path": shortened(scope["path"]),
            "status": status,
            "ms": round(seconds * 1000, 1),
            "bytes_in": stats.bytes_in,
            "bytes_out": stats.bytes_out,
            "complete": stats.complete,
        }
        if stats.key is not None:
            fields["key"] = stats.key
        if stats.problem is not None and stats.problem.status == 429:
            fields["refused"] = stats.problem.detail
        if stats.model is not None:
            fields["model"] = stats.model
        if stats.audio_seconds is not None:
            fields["audio_seconds"] = round(stats.audio_seconds, 3)
        if trace:
            if answered is not None:
                stats.timings.add("write", answered, now)
            trace.end(method, route, status, _span_attributes(stats))
        log = logger.debug if _is_probe(route) else logger.info
        log("request", **fields)


def _is_probe(path: str) -> bool:
    """Whether it is asked for every few seconds, by machines."""
    return path.startswith("/health") or path == "/metrics"


def _span_attributes(stats: RequestStats) -> dict[str, str | int | float]:
    """What the trace of a request says of it."""
    found: dict[str, str | int | float] = {
        "http.request.body.size": stats.bytes_in,
        "http.response.body.size": stats.bytes_out,
        "encodec.complete": stats.complete,
        "encodec.batches": stats.timings.batches,
    }
    if stats.model is not None:
        found["encodec.model"] = stats.model
    if stats.audio_seconds is not None:
        found["encodec.audio_seconds"] = round(stats.audio_seconds, 3)
    return found


def _route(scope: Scope) -> str:
    """The path's template; one label for the pages of the documentation, and one for all paths
    that do not exist."""
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str):
        return path
    return "documentation" if "endpoint" in scope else "unmatched"


class DrainBody:
    """Reads the rest of a body whose answer came early, where the connection is closed afterwards.

    Closing a socket that has unread bytes resets the connection, and a client that sends its whole
    body before it reads would never see the answer, most likely an error. So the end of the answer
    waits for the rest of the body, up to `DRAIN_SECONDS` and 64 MiB (1 MiB of a client without a
    key). Where less than 1 MiB is left, the connection stays open, and the server reads it.
    """

    def __init__(self, app: ASGIApp, stopping: Callable[[], bool], metrics: Metrics):
        """`stopping`: whether the server stops, and so closes every connection."""
        self._app = app
        self._stopping = stopping
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        # A client that expects 100-continue sends no body before it is asked for.
        body_begun = headers.get("expect", "").lower() != "100-continue"
        body_ended = False
        received = 0
        most = _DRAIN_BYTES
        closes = _closes(scope, headers)

        async def watched_receive() -> Message:
            nonlocal body_begun, body_ended, received
            message = await receive()
            body_begun = True
            body_ended = message["type"] != "http.request" or not message.get("more_body", False)
            received += len(message.get("body", b""))
            return message

        async def drain() -> None:
            before = received
            try:
                async with asyncio.timeout(DRAIN_SECONDS):
                    while not body_ended and received - before < most:
                        await watched_receive()
            except TimeoutError:
                pass
            except asyncio.CancelledError:
                if not self._stopping():
                    raise
            finally:
                self._metrics.bodies(received - before, 0)

        async def draining_send(message: Message) -> None:
            nonlocal most, closes
            unread = body_begun and not body_ended
            if message["type"] == "http.response.start":
                if message["status"] == 401:
                    most = _DRAIN_BYTES_401
                if unread and _rest(headers, received) > _SMALL_REST:
                    MutableHeaders(scope=message)["Connection"] = "close"
                    closes = True
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if last and unread and (self._stopping() or closes):
                await send({**message, "more_body": True})
                await drain()
                message = {"type": "http.response.body"}
            await send(message)

        await self._app(scope, watched_receive, draining_send)


def _rest(headers: Headers, received: int) -> float:
    """Bytes of the body that are still to come; 0 where there is none."""
    if "transfer-encoding" in headers:
        return float("inf")
    return int(headers.get("content-length", 0)) - received


def _closes(scope: Scope, headers: Headers) -> bool:
    """Whether the client has the connection closed after the answer."""
    tokens = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    return scope["http_version"] == "1.0" or "close" in tokens
