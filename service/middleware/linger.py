"""Hears a body out whose answer came early, where the connection is closed after the answer."""

import asyncio
from collections.abc import Callable

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

PATIENCE = 30.0
"""Seconds for the rest of the body."""


class Linger:
    """Closing a socket in which bytes are left unread resets the connection, and a client that
    sends its whole body before it reads would never see the answer: an error, most likely. So the
    end of the answer waits until the body has come, for a while.

    Where the connection stays open the server does this by itself.
    """

    def __init__(self, app: ASGIApp, stopping: Callable[[], bool]):
        """`stopping`: whether the server stops, and so closes every connection."""
        self._app = app
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        begun = headers.get("expect", "").lower() != "100-continue"  # else nothing comes unasked
        ended = False

        async def watched_receive() -> Message:
            nonlocal begun, ended
            message = await receive()
            begun = True
            ended = message["type"] != "http.request" or not message.get("more_body", False)
            return message

        async def lingering_send(message: Message) -> None:
            last = message["type"] == "http.response.body" and not message.get("more_body", False)
            if last and begun and not ended and (self._stopping() or _closes(scope, headers)):
                await send({**message, "more_body": True})
                try:
                    async with asyncio.timeout(PATIENCE):
                        while not ended:
                            await watched_receive()
                except TimeoutError:
                    pass
                except asyncio.CancelledError:
                    if not self._stopping():
                        raise
                message = {"type": "http.response.body", "body": b"", "more_body": False}
            await send(message)

        await self._app(scope, watched_receive, lingering_send)


def _closes(scope: Scope, headers: Headers) -> bool:
    """Whether the client has the connection closed after the answer."""
    tokens = {token.strip().lower() for token in headers.get("connection", "").split(",")}
    return scope.get("http_version") == "1.0" or "close" in tokens
