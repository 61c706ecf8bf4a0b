"""Requests that h11 lets through and a server should not, or should read otherwise (RFC 9112)."""

import re
from collections.abc import Collection
from urllib.parse import unquote

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Receive, Scope, Send

from .problems import Problem, ProblemCode, problem_response
from .request_stats import REQUEST_ID, request_id_of, request_stats

_ABSOLUTE = re.compile(rb"https?://[^/]*", re.IGNORECASE)
_HOST = re.compile(rb"(?:\[[0-9A-Fa-f:.]+\]|[A-Za-z0-9._~!$&'()*+;=%-]*)(?::[0-9]*)?")
_VERSIONS = ("1.0", "1.1")


class CheckRequest:
    """Refuses ambiguous framing, other versions of HTTP and impossible hosts, and closes their
    connections; reads targets in absolute form as paths, without the user information that they
    may hold. A WebSocket is refused to pages of other origins too (RFC 6455 10.2): no browser
    asks before it connects, nor keeps its answers from them."""

    def __init__(self, app: ASGIApp, allowed_origins: Collection[str] = ()):
        """`allowed_origins`: pages that may connect besides our own; `*` is any."""
        self._app = app
        self._origins = allowed_origins

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        problem = None
        if scope["type"] in ("http", "websocket"):
            _to_origin_form(scope)
            if (reason := _refusal(scope)) is not None:
                problem = Problem(ProblemCode.BAD_REQUEST, reason, headers={"Connection": "close"})
            elif scope["type"] == "websocket" and not self._is_allowed(Headers(scope=scope)):
                detail = "pages of this origin may not connect"
                problem = Problem(ProblemCode.FOREIGN_ORIGIN, detail)
        if problem is not None:
            request_stats(HTTPConnection(scope)).problem = problem
            answer = problem_response(problem)
            answer.headers[REQUEST_ID] = request_id_of(scope)  # of a WebSocket nobody else says it
            await answer(scope, receive, send)
            return
        await self._app(scope, receive, send)

    def _is_allowed(self, headers: Headers) -> bool:
        """No `Origin`: no browser. Behind a proxy the scheme may be another than the page's."""
        origin = headers.get("origin")
        if origin is None or "*" in self._origins or origin in self._origins:
            return True
        return origin.partition("://")[2].lower() == headers.get("host", "").lower() != ""


def _to_origin_form(scope: Scope) -> None:
    """RFC 9112 3.2.2: a server takes targets in absolute form too."""
    raw: bytes = scope.get("raw_path") or b""
    if (found := _ABSOLUTE.match(raw)) is not None:
        scope["raw_path"] = raw[found.end() :] or b"/"
        scope["path"] = unquote(scope["raw_path"].decode("ascii"))


def _refusal(scope: Scope) -> str | None:
    """What is wrong with the request; None where nothing is."""
    if scope["http_version"] not in _VERSIONS:
        return "HTTP/1.0 and HTTP/1.1 are spoken here"
    fields = [name for name, _ in scope["headers"]]
    if b"content-length" in fields and b"transfer-encoding" in fields:
        return "the length of the body is given twice: Content-Length and Transfer-Encoding"
    for name, value in scope["headers"]:
        if name == b"host" and not _HOST.fullmatch(value):
            return "the Host header names no host"
    return None
