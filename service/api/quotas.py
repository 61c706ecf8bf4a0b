"""What every answer to a key with limits says of them."""

from starlette.datastructures import MutableHeaders
from starlette.requests import HTTPConnection
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..http.auth import key_of
from ..inference.admission import Admission


class QuotaHeaders:
    """Adds `RateLimit-Policy` and `RateLimit` to answers, refusals included."""

    def __init__(self, app: ASGIApp, admission: Admission):
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return

        async def limited_send(message: Message) -> None:
            if message["type"] == "http.response.start":
                tenant = self._admission.tenant(key_of(HTTPConnection(scope)))
                MutableHeaders(scope=message).update(tenant.headers())
            await send(message)

        await self._app(scope, receive, limited_send)
