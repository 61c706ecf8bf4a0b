"""A request to the codec under way: what it may use, and what is freed with it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import AbstractAsyncContextManager, AsyncExitStack
from dataclasses import dataclass
from typing import Annotated, BinaryIO

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from model_core.codec import Codec

from ..cancellation import alongside
from ..decoder.pool import DecoderPool
from ..http.connection import CONNECTION_LOST
from ..http.middleware import request_stats
from ..inference.admission import Admission
from ..inference.model_pool import ModelPool
from ..inference.scheduler import Stream
from ..settings import Settings
from .spool import spool
from .upload import Limits, Upload, open_upload


@dataclass(frozen=True)
class Call:
    """Everything on `stack` is freed after the last byte of the response, or when the client or
    an error ends the request before."""

    request: Request
    stack: AsyncExitStack
    settings: Settings
    models: ModelPool
    decoders: DecoderPool
    runner: Stream
    """Runs the works of this request in the queue (`Scheduler.stream`); for `Compressor` and the
    like."""

    async def admit(self) -> None:
        """Take a permit for the rest of the request. Raises `Problem` when there is none, and
        `ClientDisconnect`."""
        admission: Admission = self.request.app.state.admission
        async with alongside(_until_connection_lost(self.request)):
            await self.stack.enter_async_context(admission.permit())

    async def upload(self) -> Upload:
        """The file in the request's body. Raises `Problem` and `ClientDisconnect`."""
        limits = Limits(self.settings.max_upload_bytes, self.settings.read_timeout)
        return await open_upload(self.request, limits)

    async def until_client_leaves(self) -> None:
        """Waits, once the body has been read, and raises `ClientDisconnect`."""
        while (await self.request.receive())["type"] != "http.disconnect":
            pass
        raise ClientDisconnect

    def while_connected(self) -> AbstractAsyncContextManager[None]:
        """A block that is cancelled when the client leaves; it raises `ClientDisconnect` then. For
        a request whose body has been read."""
        return alongside(self.until_client_leaves())

    def note_audio(self, codec: Codec, samples: int) -> None:
        """Count so many samples, for log and metrics, whether they were audio or codes."""
        stats = request_stats(self.request)
        stats.model = codec.name
        stats.audio_seconds = (stats.audio_seconds or 0) + samples / codec.config.sample_rate

    def spool(self) -> BinaryIO:
        """An empty temporary file."""
        return self.stack.enter_context(spool(self.settings.spool_dir))


async def _until_connection_lost(request: Request) -> None:
    """Waits without reading the body, and raises `ClientDisconnect`; waits forever where the
    server cannot tell."""
    lost = request.scope.get("state", {}).get(CONNECTION_LOST)
    await (lost if isinstance(lost, asyncio.Event) else asyncio.Event()).wait()
    raise ClientDisconnect


async def _open_call(request: Request) -> AsyncIterator[Call]:
    state = request.app.state
    async with AsyncExitStack() as stack:
        yield Call(
            request, stack, state.settings, state.models, state.decoders, state.scheduler.stream()
        )


OpenCall = Annotated[Call, Depends(_open_call)]
