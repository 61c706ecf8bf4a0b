"""The rest of a body whose answer came early, as plain ASGI."""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers, MutableHeaders
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..metrics import Metrics

DRAIN_SECONDS = 30.0
"""The longest time that the rest of a body is waited for."""
_SMALL_REST = 1 << 20  # bytes of a body that are read so that the connection can be kept
_DRAIN_BYTES = 1 << 26  # read at most before the connection is closed
_DRAIN_BYTES_401 = 1 << 20


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
                # One that expects 100-continue, too, may send it all the same.
                if not body_ended and _rest(headers, received) > _SMALL_REST:
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
