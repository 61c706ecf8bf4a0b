"""A request to the codec under way: what it may use, and what is freed with it."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Annotated, BinaryIO, TypeVar

from fastapi import Depends, Request

from model_core.codec import Codec, Steps

from ..admission import Admission
from ..batch import StreamKey
from ..decoder.pool import DecoderPool
from ..facts import facts_of
from ..models import Models
from ..scheduler import Scheduler
from ..settings import Settings
from ..upload import Limits, Upload, open_upload
from .spool import spool
from .together import alongside, until_lost

T = TypeVar("T")


@dataclass(frozen=True)
class Call:
    """Everything on `stack` is freed after the last byte of the response, or when the client or
    an error ends the request before."""

    request: Request
    stack: AsyncExitStack
    stream: StreamKey = field(default_factory=StreamKey)

    @property
    def settings(self) -> Settings:
        settings: Settings = self.request.app.state.settings
        return settings

    @property
    def scheduler(self) -> Scheduler:
        scheduler: Scheduler = self.request.app.state.scheduler
        return scheduler

    @property
    def models(self) -> Models:
        models: Models = self.request.app.state.models
        return models

    @property
    def audio(self) -> DecoderPool:
        audio: DecoderPool = self.request.app.state.audio
        return audio

    async def run(self, steps: Steps[T]) -> T:
        """Have the work of the request's stream done. Raises as `Scheduler.drive`."""
        return await self.scheduler.drive(steps, self.stream)

    async def admit(self) -> None:
        """Take a permit for the rest of the request. Raises `Problem` when there is none, and
        `ClientDisconnect`."""
        admission: Admission = self.request.app.state.admission
        permit = self.stack.enter_async_context(admission.permit())
        await alongside(until_lost(self.request), permit)

    async def upload(self) -> Upload:
        """The file in the request's body. Raises `Problem` and `ClientDisconnect`."""
        limits = Limits(self.settings.max_upload_bytes, self.settings.read_timeout)
        return await open_upload(self.request, limits)

    def heard(self, codec: Codec, samples: int) -> None:
        """Note, for log and metrics, that so much audio came, coded or not."""
        facts = facts_of(self.request)
        facts.model = codec.name
        facts.audio_seconds = (facts.audio_seconds or 0) + samples / codec.config.sample_rate

    def spool(self) -> BinaryIO:
        """An empty temporary file."""
        return self.stack.enter_context(spool(self.settings.spool_dir))


async def _open_call(request: Request) -> AsyncIterator[Call]:
    async with AsyncExitStack() as stack:
        yield Call(request, stack)


OpenCall = Annotated[Call, Depends(_open_call)]
