"""One log line and one observation for every request."""

import time
from typing import Any

import structlog
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..facts import Facts, facts_in
from ..metrics import Metrics

logger = structlog.get_logger(__name__)

_METHODS = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"})

CLIENT_GONE = 499
"""The status counted for a request whose client left before the answer began."""


class Observe:
    """Counts bytes both ways, and tells log and metrics when the request has ended."""

    def __init__(self, app: ASGIApp, metrics: Metrics):
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        facts = facts_in(scope)

        async def counted_receive() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                facts.bytes_in += len(message.get("body", b""))
            return message

        async def counted_send(message: Message) -> None:
            await send(message)
            if message["type"] == "http.response.start":
                facts.status = message["status"]
            elif message["type"] == "http.response.body":
                facts.bytes_out += len(message.get("body", b""))
                facts.complete = not message.get("more_body", False)

        with self._metrics.in_flight.track_inprogress():
            try:
                await self._app(scope, counted_receive, counted_send)
            finally:
                self._finish(scope, facts)

    def _finish(self, scope: Scope, facts: Facts) -> None:
        route = _route(scope)
        status = facts.status or CLIENT_GONE
        seconds = time.monotonic() - facts.started
        method = scope["method"] if scope["method"] in _METHODS else "other"
        self._metrics.request_done(method, route, status, seconds)
        self._metrics.bodies(facts.bytes_in, facts.bytes_out)
        if facts.status is not None and not facts.complete:
            self._metrics.response_cut_off(route)
        fields: dict[str, Any] = {
            "method": scope["method"],
            "path": scope["path"],
            "status": status,
            "ms": round(seconds * 1000, 1),
            "bytes_in": facts.bytes_in,
            "bytes_out": facts.bytes_out,
            "complete": facts.complete,
        }
        if facts.model is not None:
            fields["model"] = facts.model
        if facts.audio_seconds is not None:
            fields["audio_seconds"] = round(facts.audio_seconds, 3)
        quiet = route.startswith("/health") or route == "/metrics"
        log = logger.debug if quiet else logger.info
        log("request", **fields)


def _route(scope: Scope) -> str:
    """The path's template; one label for the pages of the documentation, and one for all paths
    that do not exist."""
    path = getattr(scope.get("route"), "path", None)
    if isinstance(path, str):
        return path
    return "documentation" if "endpoint" in scope else "unmatched"
