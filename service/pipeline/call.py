"""A request to the codec under way: what it may use, its files, and what is freed with it."""

import asyncio
import tempfile
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterable, Iterator
from contextlib import (
    AbstractAsyncContextManager,
    AbstractContextManager,
    AsyncExitStack,
    nullcontext,
)
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, BinaryIO, cast

from fastapi import Depends, Request
from starlette.requests import ClientDisconnect

from model_core.codec import Codec

from ..cancellation import alongside
from ..decoder.pool import DecoderPool
from ..http.auth import key_of
from ..http.connection import CONNECTION, CONNECTION_LOST
from ..http.request_stats import request_stats
from ..inference.admission import Admission, Permit
from ..inference.model_pool import ModelPool
from ..inference.places import Place
from ..inference.scheduler import Stream
from ..inference.tenants import Claim
from ..settings import Settings
from .upload import STORED, StoredUpload, Upload, open_upload

MEMORY_BYTES = 1 << 20  # of a spool that is not yet on disk
_CHUNK = 1 << 16  # bytes


@dataclass
class Call:
    """Everything on `stack` is freed after the last byte of the response, or when the client or
    an error ends the request before."""

    request: Request
    stack: AsyncExitStack
    settings: Settings
    models: ModelPool
    decoders: DecoderPool
    runner: Stream
    """Runs the works of this request in the queue; for `Compressor` and the like."""
    admission: Admission
    claim: Claim
    """What the request costs, as far as it is known."""
    permit: Permit | None = None

    async def upload(self, live: bool = False) -> Upload:
        """The file in the request's body, which may come slowly if it is `live`. Takes a place.
        Raises `Problem` and `ClientDisconnect`."""
        place = self.take_place(live)
        stored: StoredUpload | None = self.request.scope.get(STORED)
        if stored is not None:
            return stored.upload()
        return await open_upload(self.request, self.settings, place, live)

    def take_place(self, live: bool = False) -> Place:
        """One among the open requests, until the request ends. Raises `Problem`."""
        client = self.request.scope.get("state", {}).get(CONNECTION)
        return self.stack.enter_context(self.admission.place(live, client, self.claim.tenant))

    async def admit(self) -> None:
        """Take a permit for the rest of the request, once it is estimated what it costs. Raises
        `Problem` when there is none, and `ClientDisconnect`."""
        async with alongside(_until_connection_lost(self.request)):
            began = time.monotonic()
            self.permit = await self.stack.enter_async_context(self.admission.permit(self.claim))
            request_stats(self.request).timings.add("permit", began, time.monotonic())

    def waiting_for_client(self) -> AbstractContextManager[None]:
        """A block in which nothing can be done before the client sends or reads something."""
        return nullcontext() if self.permit is None else self.permit.idle()

    async def sent(self, chunks: AsyncIterator[bytes]) -> AsyncGenerator[bytes]:
        """`chunks`, for an answer; others may work while the client does not read."""
        async for chunk in chunks:
            with self.waiting_for_client():
                yield chunk

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
        seconds = samples / codec.config.sample_rate
        stats.audio_seconds = (stats.audio_seconds or 0) + seconds
        self.claim.came(seconds)

    def note_length(self, seconds: float | None) -> None:
        """How long the audio says that it is."""
        request_stats(self.request).seconds_to_encode = seconds

    def note_decoding(self, codec: Codec, samples: int, done: int = 0) -> None:
        """So many samples are to be decoded, or so many are done."""
        stats = request_stats(self.request)
        stats.seconds_to_decode += samples / codec.config.sample_rate
        stats.seconds_decoded += done / codec.config.sample_rate

    def spool(self) -> BinaryIO:
        """An empty temporary file, in memory up to 1 MB and on disk beyond.

        It is used on the event loop: `.ecdc` files are small (ten hours at 24 kbps are 108 MB), and
        a thread for each chunk would cost 17 % of the speed of an upload. (Uploads of audio, up to
        gigabytes, are written in threads: `decoder`.)
        """
        folder = str(self.settings.spool_dir) if self.settings.spool_dir else None
        file = tempfile.SpooledTemporaryFile(MEMORY_BYTES, dir=folder)  # noqa: SIM115 - closed below
        return cast(BinaryIO, self.stack.enter_context(file))


async def _until_connection_lost(request: Request) -> None:
    """Waits without reading the body, and raises `ClientDisconnect`; waits forever where the
    server cannot tell."""
    lost = request.scope.get("state", {}).get(CONNECTION_LOST)
    await (lost if isinstance(lost, asyncio.Event) else asyncio.Event()).wait()
    raise ClientDisconnect


def new_call(request: Request, stack: AsyncExitStack) -> Call:
    """A call that has nothing yet, with what its app offers."""
    state = request.app.state
    claim = Claim(state.admission.tenant(key_of(request)))
    runner: Stream = state.scheduler.stream(claim)
    runner.timings = request_stats(request).timings
    return Call(
        request,
        stack,
        state.settings,
        state.models,
        state.decoders,
        runner,
        state.admission,
        claim,
    )


async def _open_call(request: Request) -> AsyncIterator[Call]:
    async with AsyncExitStack() as stack:
        yield new_call(request, stack)


OpenCall = Annotated[Call, Depends(_open_call)]


def check_spool(folder: Path | None) -> None:
    """Raises `ValueError` where no file can be written."""
    try:
        tempfile.TemporaryFile(dir=folder).close()
    except OSError as error:
        raise ValueError(f"uploads cannot be kept in {folder}: {error.strerror}") from error


async def contents(file: BinaryIO) -> AsyncGenerator[bytes]:
    """The rest of `file`, in chunks."""
    while chunk := file.read(_CHUNK):
        yield chunk


def in_chunks(pieces: Iterable[bytes]) -> Iterator[bytes]:
    """The same bytes in fewer pieces: each costs a switch of threads and a chunk of HTTP."""
    chunk = bytearray()
    for piece in pieces:
        chunk += piece
        if len(chunk) >= _CHUNK:
            yield bytes(chunk)
            chunk.clear()
    if chunk:
        yield bytes(chunk)
