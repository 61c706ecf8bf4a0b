"""One live stream: its messages, its limits, its end and its line in the log."""

import asyncio
import json
import math
from collections.abc import AsyncGenerator, AsyncIterator, Awaitable, Callable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    asynccontextmanager,
    contextmanager,
)
from typing import Any

import structlog
from starlette.requests import ClientDisconnect
from starlette.websockets import WebSocket, WebSocketDisconnect
from structlog.contextvars import bound_contextvars

from ..api.errors import to_problem
from ..cancellation import alongside
from ..http.auth import websocket_keys
from ..http.connection import CONNECTION, CONNECTION_LOST
from ..http.keys import ANONYMOUS
from ..http.problems import Problem, ProblemCode
from ..http.request_stats import REQUEST_ID, client_of, request_id_of, shortened
from ..http.websocket import WebSocketConnection
from ..inference.places import Place
from ..inference.tenants import Tenant

logger = structlog.get_logger(__name__)

PROTOCOL = "encodec.live.v1"
"""The subprotocol."""

_MOST_TEXT = 4096  # characters of a client's text message
_SILENT = 5.0  # s without a message, after which another stream may have the place
_LAST_WORDS = 1.0  # s in which a client must read enough for an error to be sent
_PROGRESS = 1.0  # s between two messages of it

_ENDED, _RESTARTING, _GONE, _PROBLEM = 1000, 1012, 1006, 4000  # close codes (RFC 6455 7.4)


class Session:
    """A WebSocket that carries one stream.

    Binary messages are its data; text messages are JSON objects with a `type`. What a call may use
    of the app is in `app`.
    """

    def __init__(self, websocket: WebSocket, kind: str):
        """`kind`: `compress`, `decompress`, `speak` or `listen`."""
        self.websocket = websocket
        self.kind = kind
        self.app = websocket.app.state
        self.settings = self.app.settings
        self.runner = self.app.scheduler.live_stream()
        state = websocket.scope.get("state", {})
        self.connection: WebSocketConnection | None = state.get(CONNECTION)
        self._timed = self.app.metrics.live_step.labels(kind).observe
        self._lost: asyncio.Event = state.get(CONNECTION_LOST) or asyncio.Event()
        self._clock = asyncio.get_running_loop().time
        self._place: Place | None = None
        self._tenant: Tenant = self.app.admission.tenant()
        self._came = self._told = self._clock()
        self._step = 0.0  # s
        self.outlives_client = False
        """Whether the client's leaving is the end of its data, and no error."""
        self.gone = False
        """Whether the client has left."""
        self._who: dict[str, str] = {}  # and why it was refused, for the log
        self.model: str | None = None
        self.received = 0
        """Bytes of data."""
        self.sent = 0
        """Bytes of data."""
        self.samples = 0
        """Of the audio, at the model's rate."""
        self._rate = 1

    @property
    def key(self) -> str:
        """The name of the client's API key."""
        return self._tenant.key.name

    @property
    def unacknowledged(self) -> int:
        """Bytes that the client may not have read."""
        return 0 if self.connection is None else self.connection.unacknowledged

    @contextmanager
    def place(self) -> Iterator[None]:
        """A place among the live streams. Raises `Problem` 429, and 503 where the service stops."""
        with self.app.admission.place(True, self.connection, self._tenant) as self._place:
            try:
                yield
            finally:
                self._place = None

    def listening(self) -> AbstractContextManager[None]:
        """Hears a stream as it is, which takes no place. Raises as `place`."""
        held: AbstractContextManager[None] = self.app.admission.listener(self._tenant)
        return held

    async def ready(self, **fields: Any) -> None:
        """The parameters are good: the client may send."""
        await self.tell("ready", path=self.kind, **fields)

    @property
    def stopping(self) -> bool:
        """Whether the service is."""
        return self.connection is not None and self.connection.going_away

    def is_of(self, model: str, rate: int) -> None:
        """The model (as headers name it) and its rate in Hz, for the log and the limits."""
        self.model, self._rate = model, rate

    def add_samples(self, count: int) -> None:
        """So many more, which the key's quota pays for. Raises `Problem` 413 for more than
        `max_audio_seconds`."""
        self.samples += count
        self._tenant.charge(count / self._rate)
        self._tenant.worked(count / self._rate)
        longest = self.settings.max_audio_seconds
        if self.samples > longest * self._rate:
            raise Problem(ProblemCode.TOO_LONG, f"{longest:g} s of audio are admitted")

    async def data(self) -> AsyncGenerator[bytes]:
        """The client's data, until it says that this is all. Raises `ClientDisconnect` where it
        leaves before, unless the stream outlives it, and `Problem` for what is no message and for a
        client that is silent for too long."""
        while True:
            message = await self._received()
            if message["type"] == "websocket.disconnect":
                self.gone = True
                if self.outlives_client:
                    return
                raise ClientDisconnect
            if (data := message.get("bytes")) is not None:
                self.received += len(data)
                self.came()
                if data:
                    yield data
            elif await self._is_end(message["text"]):
                self.came()
                return

    def came(self) -> None:
        """There is something new to work on: a step begins."""
        self._came = self._clock()

    async def no_data(self) -> None:
        """Answers the messages of a client that has no data to send, until it asks for the end.
        Raises as `data`."""
        async for _ in self.data():
            raise Problem(ProblemCode.BAD_REQUEST, "a listener sends no data")

    async def _received(self) -> Any:
        if self._place is None or self.kind == "listen":
            return await self.websocket.receive()
        try:
            async with asyncio.timeout(self.settings.read_timeout) as wait:
                with self._place.waiting(self._clock() + _SILENT, wait):
                    return await self.websocket.receive()
        except TimeoutError:
            if self._place.lost:
                detail = "the client is silent, and another stream needs its place"
            else:
                detail = f"nothing came for {self.settings.read_timeout:g} seconds"
            raise Problem(ProblemCode.CLIENT_TOO_SLOW, detail) from None

    async def _is_end(self, text: str) -> bool:
        """Answers a text message; whether it ends the data. Raises `Problem`."""
        if len(text) > _MOST_TEXT:
            detail = f"a text message has at most {_MOST_TEXT} characters"
            raise Problem(ProblemCode.BAD_REQUEST, detail)
        try:
            message = json.loads(text)
        except (ValueError, RecursionError):
            message = None
        if not isinstance(message, dict) or not isinstance(message.get("type"), str):
            raise Problem(ProblemCode.BAD_REQUEST, "a text message is a JSON object with a type")
        if message["type"] == "ping":
            await self.tell("pong", id=_mark(message.get("id")))
        elif message["type"] != "end":
            detail = f"no message has the type {shortened(message['type'])}"
            raise Problem(ProblemCode.BAD_REQUEST, detail)
        return bool(message["type"] == "end")

    async def send(self, data: bytes) -> None:
        """Data for the client; waits while it reads too little. Raises `ClientDisconnect`, and
        `Problem` 408 where it reads nothing for too long."""
        await self._send({"type": "websocket.send", "bytes": data})
        self.sent += len(data)
        self.stepped()
        await self.progress()

    def stepped(self) -> None:
        """The last data that came has given what it can."""
        self._step = self._clock() - self._came
        self._timed(self._step)

    async def progress(self, **fields: Any) -> None:
        """Tell how far the stream is, where a second has passed since that was told."""
        now = self._clock()
        if now - self._told >= _PROGRESS:
            self._told = now
            step = round(1000 * self._step, 2)
            await self.tell("progress", **self._counts(), step_ms=step, **fields)

    async def end(self, complete: bool) -> None:
        """The stream has ended well; `complete`: with the end of its file."""
        await self.tell("end", **self._counts(), complete=complete)

    def _counts(self) -> dict[str, int]:
        return {"received": self.received, "sent": self.sent, "samples": self.samples}

    async def tell(self, kind: str, **fields: Any) -> None:
        """A text message; to nobody where the stream has outlived its client. Raises as `send`."""
        text = json.dumps({"type": kind, **fields}, separators=(",", ":"))
        try:
            await self._send({"type": "websocket.send", "text": text})
        except ClientDisconnect:
            if not self.outlives_client:
                raise

    async def _send(self, message: dict[str, Any]) -> None:
        if self.gone:
            raise ClientDisconnect
        try:
            if self.connection is not None and self.connection.takes_more:
                await self.websocket.send(message)
                return
            async with asyncio.timeout(self.settings.write_timeout):
                await self.websocket.send(message)
        except TimeoutError:
            raise Problem(ProblemCode.CLIENT_TOO_SLOW, "the client reads too slowly") from None
        except (WebSocketDisconnect, RuntimeError):  # the server has ended it, for a wrong frame
            self.gone = True
            raise ClientDisconnect from None

    def while_connected(self) -> AbstractAsyncContextManager[None]:
        """A block that is cancelled when the client has left; it raises `ClientDisconnect` then."""
        return alongside(self._until_lost())

    async def _until_lost(self) -> None:
        await self._lost.wait()
        raise ClientDisconnect

    async def run(self, call: Callable[["Session"], Awaitable[None]]) -> None:
        """The whole life of the stream: `call` in between, whatever it ends with."""
        request_id = request_id_of(self.websocket.scope)
        offered = self.websocket.scope.get("subprotocols", ())
        try:
            headers = [(REQUEST_ID.lower().encode(), request_id.encode())]
            await self.websocket.accept(PROTOCOL if PROTOCOL in offered else None, headers)
        except (OSError, RuntimeError, WebSocketDisconnect):  # it has left already
            return
        began = self._clock()
        self.app.metrics.live.labels(self.kind).inc()
        with bound_contextvars(request_id=request_id):
            code = _PROBLEM
            try:
                code = await self._ended(call)
            finally:
                self.app.metrics.live_ended(self.kind, code)
                self.app.metrics.bodies(self.received, self.sent)
                fields = (
                    {"audio_seconds": round(self.samples / self._rate, 3)} if self.model else {}
                )
                logger.info(
                    "live stream",
                    kind=self.kind,
                    path=shortened(self.websocket.url.path),
                    code=code,
                    ms=round(1000 * (self._clock() - began), 1),
                    bytes_in=self.received,
                    bytes_out=self.sent,
                    model=self.model,
                    client=client_of(self.websocket.scope),
                    **(fields | self._who),
                )

    async def _ended(self, call: Callable[["Session"], Awaitable[None]]) -> int:
        """The close code that the stream ended with."""
        try:
            key = self.app.keys.require(websocket_keys(self.websocket))
            self._tenant = self.app.admission.tenant(key)
            if key is not ANONYMOUS:
                self._who["key"] = key.name
            await call(self)
        except ClientDisconnect:
            return _GONE
        except asyncio.CancelledError:
            if not self.app.admission.closed:
                raise
            problem = Problem(ProblemCode.SHUTTING_DOWN)
        except Exception as error:
            problem = to_problem(error)
            if problem.code is ProblemCode.INTERNAL_ERROR:
                logger.exception("unexpected error", path=shortened(self.websocket.url.path))
            if problem.status == 429:
                self._who["refused"] = problem.detail
        else:
            return await self._close(_RESTARTING if self.stopping else _ENDED)
        return await self._refuse(problem)

    async def _refuse(self, problem: Problem) -> int:
        """The same, with the problem told, as far as the client reads it."""
        code = _PROBLEM + problem.status
        document = problem.document().model_dump(mode="json", exclude_none=True)
        try:
            async with asyncio.timeout(_LAST_WORDS):
                await self.tell("error", problem=document)
                await self._close(code, problem.code)
        except (ClientDisconnect, TimeoutError):
            if self.connection is not None:
                self.connection.evict()
        return code

    async def _close(self, code: int, reason: str = "") -> int:
        if not self.gone:
            try:
                await self.websocket.close(code, reason)
            except (WebSocketDisconnect, RuntimeError):
                self.gone = True
        return code


def _mark(value: Any) -> str | float | None:
    """The `id` of a ping, unless JSON has no such string or number (infinity is none)."""
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value if isinstance(value, str) or (number and math.isfinite(value)) else None


@asynccontextmanager
async def connected(session: Session) -> AsyncIterator[None]:
    """A place, and a block that is cancelled when the client leaves."""
    with session.place():
        async with session.while_connected():
            yield
