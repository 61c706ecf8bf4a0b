"""What surrounds every call, as plain ASGI: the request's id, its log line, metrics, timings and
trace."""

import time
from contextlib import ExitStack
from typing import TYPE_CHECKING

import structlog
from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from structlog.contextvars import bound_contextvars

from ..metrics import Metrics
from ..timings import SERVER_TIMING
from .request_stats import (
    REQUEST_ID,
    RequestStats,
    client_of,
    request_id_of,
    request_stats,
    shortened,
)

if TYPE_CHECKING:
    from ..telemetry import RequestTrace, Telemetry

logger = structlog.get_logger(__name__)

CLIENT_GONE = 499
"""The status counted for a request whose client left before the answer began."""

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})


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
            self._metrics.cut_off.labels(route).inc()
        fields = {
            "method": shortened(scope["method"]),
            "path": shortened(scope["path"]),
            "status": status,
            "ms": round(seconds * 1000, 1),
            "bytes_in": stats.bytes_in,
            "bytes_out": stats.bytes_out,
            "complete": stats.complete,
        }
        if (client := client_of(scope)) is not None:
            fields["client"] = client
        if stats.key is not None:
            fields["key"] = stats.key
        if stats.problem is not None:
            fields["problem"] = stats.problem.code
            fields["detail"] = shortened(stats.problem.detail)
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
