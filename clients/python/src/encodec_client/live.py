"""Live audio over WebSocket: `pip install encodec-client[live]`.

The service's docs/live.md has the protocol, and what the options mean.
"""

import asyncio
import contextlib
import json
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from typing import Any, Literal, TypedDict, Unpack
from urllib.parse import quote, urlencode

import httpx
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed, InvalidStatus, WebSocketException
from websockets.typing import Subprotocol

from .errors import ConnectionFailedError, ProblemError, problem_of
from .options import query_of
from .sources import AsyncSource, Body

Message = dict[str, Any]
"""What the service says of a stream: `type` (`ready`, `header`, `start`, `progress`, `end`) and
its fields."""

Told = Callable[[Message], None]

_PROTOCOL = Subprotocol("encodec.live.v1")
_MOST_SENT = 1 << 18  # bytes of a message
_END = json.dumps({"type": "end"})


class _CodingOptions(TypedDict, total=False):
    sample_rate: int
    """Hz, of PCM; the model's (24000) by default."""
    channels: int
    """Of PCM: 1 (default) or 2."""
    bandwidth: float
    """kbps; 6 by default."""
    chunk: int
    """Frames of 13.3 ms that are sent at once; 4 by default."""
    lm: bool
    """Entropy-code with the language model; use `chunk=75` or more."""


class LiveCompressOptions(_CodingOptions, total=False):
    """Of `compress`."""

    input: Literal["s16", "f32", "container"]
    """Interleaved little-endian PCM (`s16` by default), or a file as it grows."""


class SpeakOptions(_CodingOptions, total=False):
    """Of `speak`."""

    input: Literal["s16", "f32", "container", "ecdc"]
    """As of `compress`, or `ecdc`: a version 1 stream, passed on as it is."""


class _OutputOptions(TypedDict, total=False):
    sample_rate: int
    """Hz; the model's by default."""
    channels: int


class LiveDecompressOptions(_OutputOptions, total=False):
    """Of `decompress`."""

    output: Literal["f32", "s16"]
    """Interleaved little-endian PCM; `f32` by default."""


class ListenOptions(_OutputOptions, total=False):
    """Of `listen`."""

    output: Literal["ecdc", "f32", "s16"]
    """As of `decompress`, or `ecdc` (default): the version 1 stream."""
    preroll: int
    """Frames before the newest that a late listener gets."""


class LiveClient:
    """Streams of audio, while it is recorded.

    Each call is one connection, made when its iteration begins and left when that ends: leave a
    loop early with `contextlib.aclosing`. Sources are those of `AsyncClient`. `told` is called with
    what the service says. All raise `ProblemError` and `ConnectionFailedError`; nothing is tried
    again.
    """

    def __init__(self, base_url: str = "http://127.0.0.1:8000", *, api_key: str | None = None):
        self._url = base_url.rstrip("/").replace("http", "ws", 1)
        self._headers = {}
        if api_key is not None:  # in UTF-8; `websockets` takes a character for each byte
            self._headers["Authorization"] = f"Bearer {api_key}".encode().decode("latin-1")

    def compress(
        self,
        audio: AsyncSource,
        *,
        told: Told | None = None,
        **options: Unpack[LiveCompressOptions],
    ) -> AsyncGenerator[bytes]:
        """The pieces of a version 1 `.ecdc` file, as the audio comes."""
        return self._data("compress", options, audio, told)

    def decompress(
        self,
        ecdc: AsyncSource,
        *,
        told: Told | None = None,
        **options: Unpack[LiveDecompressOptions],
    ) -> AsyncGenerator[bytes]:
        """The PCM of a version 1 stream, as that comes."""
        return self._data("decompress", options, ecdc, told)

    def speak(
        self, name: str, audio: AsyncSource, **options: Unpack[SpeakOptions]
    ) -> AsyncGenerator[Message]:
        """Audio for the listeners of a relay. Gives what the service says: `ready`, each second
        `progress`, with the number of `listeners`, and `end`."""
        return self._messages(f"relay/{quote(name, safe='')}", {"role": "speak", **options}, audio)

    def listen(
        self, name: str, *, told: Told | None = None, **options: Unpack[ListenOptions]
    ) -> AsyncGenerator[bytes]:
        """What the speaker of a relay says, until it ends; waits for a speaker."""
        return self._data(f"relay/{quote(name, safe='')}", {**options}, None, told)

    async def _data(
        self, path: str, options: Any, source: AsyncSource | None, told: Told | None
    ) -> AsyncGenerator[bytes]:
        async with contextlib.aclosing(self._stream(path, options, source)) as stream:
            async for item in stream:
                if isinstance(item, bytes):
                    yield item
                elif told is not None:
                    told(item)

    async def _messages(
        self, path: str, options: Any, source: AsyncSource
    ) -> AsyncGenerator[Message]:
        async with contextlib.aclosing(self._stream(path, options, source)) as stream:
            async for item in stream:
                if not isinstance(item, bytes):
                    yield item

    async def _stream(
        self, path: str, options: Any, source: AsyncSource | None
    ) -> AsyncGenerator[bytes | Message]:
        """All that comes, up to the message `end`. What the source raises comes out here."""
        url = f"{self._url}/live/{path}?{urlencode(query_of(options))}"
        with Body(source) as body:
            async with _connected(url, self._headers) as connection:
                sending: asyncio.Task[None] | None = None
                failures: list[Exception] = []
                try:
                    async for item in _received(connection):
                        if sending is None and body.exists:  # the first is `ready`
                            sending = asyncio.create_task(_send(connection, body, failures))
                        yield item
                except ConnectionFailedError:
                    if failures:
                        raise failures[0] from None
                    raise
                finally:
                    if sending is not None:
                        sending.cancel()
                        await asyncio.gather(sending, return_exceptions=True)


@contextlib.asynccontextmanager
async def _connected(url: str, headers: dict[str, str]) -> AsyncIterator[ClientConnection]:
    try:
        connection = await connect(
            url,
            additional_headers=headers,
            subprotocols=[_PROTOCOL],
            compression=None,
            max_size=None,
            ping_interval=None,  # an answer would wait behind what the caller has not read
        )
    except InvalidStatus as error:
        answer = error.response
        fields = list(answer.headers.raw_items())
        raise problem_of(
            httpx.Response(answer.status_code, headers=fields, content=bytes(answer.body))
        ) from error
    except (OSError, TimeoutError, WebSocketException) as error:
        raise ConnectionFailedError(f"{type(error).__name__}: {error}") from error
    try:
        yield connection
    except BaseException:
        connection.transport.abort()  # its end would wait behind what is not wanted any more
        raise
    finally:
        await connection.close()


async def _send(connection: ClientConnection, body: Body, failures: list[Exception]) -> None:
    """All of the source; where it fails, that is noted and the connection closed."""
    try:
        async for piece in body.async_pieces():
            for start in range(0, len(piece), _MOST_SENT):
                await connection.send(piece[start : start + _MOST_SENT])
                await asyncio.sleep(0)  # what comes is read meanwhile
        await connection.send(_END)
    except ConnectionClosed:
        pass  # who receives knows why
    except Exception as error:  # noqa: BLE001  whatever the source raises
        failures.append(error)
        await connection.close()


async def _received(connection: ClientConnection) -> AsyncIterator[bytes | Message]:
    try:
        async for item in connection:
            if isinstance(item, bytes):
                yield item
                continue
            message: Message = json.loads(item)
            if message["type"] == "error":
                raise _problem(connection, message["problem"])
            yield message
            if message["type"] == "end":
                return
    except ConnectionClosed as error:
        raise ConnectionFailedError(f"{type(error).__name__}: {error}") from error
    raise ConnectionFailedError("the stream ended without an end")


def _problem(connection: ClientConnection, document: Any) -> ProblemError:
    shaken = connection.response
    headers = [] if shaken is None else list(shaken.headers.raw_items())
    return problem_of(httpx.Response(document["status"], headers=headers, json=document))
