"""An upload of audio, decoded and compressed to `.ecdc` while it arrives."""

import asyncio
import time
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import numpy as np
import structlog

from model_core.audio import parse_content_type
from model_core.codec import (
    Codec,
    Coding,
    InputWarning,
    Recording,
    Salvaged,
    Stored,
)
from model_core.ecdc.v1 import file_name
from model_core.errors import InvalidAudioError

from ..cancellation import alongside
from ..decoder.decoder import Decoder
from ..decoder.protocol import DecodeRequest, Source
from ..http.problems import Problem, ProblemCode
from ..http.request_stats import request_stats
from .call import Call, contents
from .cost import estimated_seconds
from .upload import Upload

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Compressed:
    """An `.ecdc` file, its payload in a spool, and the codec that decodes it."""

    codec: Codec
    stored: Stored | Salvaged
    filename: str | None
    """What the client calls the file it came from."""
    warnings: Sequence[InputWarning] = ()
    """What in its audio a higher effort would have coded better."""

    @property
    def seconds(self) -> float:
        """Length of the audio."""
        return self.stored.samples / self.codec.config.sample_rate

    @property
    def file(self) -> Stored:
        """The file itself, intact: what is salvaged is only decoded."""
        assert not isinstance(self.stored, Salvaged)
        return self.stored

    async def data(self) -> AsyncGenerator[bytes]:
        """The file, in chunks."""
        if self.file.prefix:
            yield self.file.prefix
        self.file.payload.seek(self.file.begin)
        async for chunk in contents(self.file.payload):
            yield chunk


_START = 1 << 16  # bytes of an upload with which work on it begins


async def codec_for(call: Call, model: str, coding: Coding) -> Codec:
    """The codec to compress with, found before the body is read. Raises `UnsupportedBandwidthError`
    and as `ModelPool.for_compression`."""
    codec = await call.models.for_compression(model, coding.lm)
    codec.config.codebooks_for(coding.bandwidth)
    return codec


async def compress(call: Call, codec: Codec, coding: Coding, upload: Upload) -> Compressed:
    """Compress the audio of `upload`. Raises as `audio_blocks` and `Coding.compressor`."""
    payload = call.spool()
    async with audio_blocks(call, upload, codec) as (blocks, decoder):
        first = await anext(blocks, None)
        source = decoder.source or Source()
        call.note_length(source.seconds)
        name = file_name(upload.filename)
        recording = Recording(source.rate, source.channels, name, source.tags)
        compressor = coding.compressor(codec, call.runner, recording)
        if first is not None:
            payload.write(await compressor.push(first))
        async for samples in blocks:
            payload.write(await compressor.push(samples))
        payload.write(await compressor.finish(decoder.source_samples))
    log_warnings(compressor.warnings)
    stored = compressor.stored(payload)
    return Compressed(codec, stored, upload.filename, compressor.warnings)


def log_warnings(warnings: Sequence[InputWarning]) -> None:
    """A line for each."""
    for warning in warnings:
        logger.info("audio that effort=1 codes better", warning=warning.code, **warning.values)


@asynccontextmanager
async def audio_blocks(
    call: Call, upload: Upload, codec: Codec
) -> AsyncIterator[tuple[AsyncIterator[np.ndarray], Decoder]]:
    """The audio of `upload` as blocks float32 `[C, n]` at the codec's rate, decoded while it
    arrives, and its decoder. Takes a permit when enough of it is there.

    The block under `async with` is cancelled when the upload turns out to be wrong or the client
    leaves. Raises `Problem`, `InvalidAudioError` and `ClientDisconnect`.
    """
    try:
        raw = parse_content_type(upload.content_type)
    except InvalidAudioError as error:
        raise Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, str(error)) from None
    upload = await upload.begin(1 if upload.live else _START)
    if not upload.live:  # whose audio is worked on as it is spoken
        seconds = estimated_seconds(upload.head, upload.body_size, raw)
        call.claim.estimate(min(seconds, call.settings.max_audio_seconds))
    await call.admit()
    config = codec.config
    body_ended = asyncio.Event()
    request = DecodeRequest(
        config.sample_rate, config.channels, raw, call.settings.max_audio_seconds, upload.size
    )
    opened, waited = time.monotonic(), 0.0
    async with call.decoders.open(request) as decoder:

        async def feed() -> None:
            async for chunk in upload.chunks:
                await decoder.feed(chunk)
            await decoder.end_of_input()
            body_ended.set()
            await call.until_client_leaves()

        async def decoded() -> AsyncGenerator[np.ndarray]:
            blocks = decoder.blocks()
            while (samples := await _next(blocks)) is not None:
                yield samples
                call.note_audio(codec, samples.shape[1])
            timings = request_stats(call.request).timings
            timings.add("decode", opened, time.monotonic(), waited)
            call.claim.complete()
            with call.waiting_for_client():
                await body_ended.wait()  # the audio may end before the body does

        async def _next(blocks: AsyncIterator[np.ndarray]) -> np.ndarray | None:
            nonlocal waited
            began = time.monotonic()
            try:
                if body_ended.is_set():
                    return await anext(blocks, None)
                with call.waiting_for_client():
                    return await anext(blocks, None)
            finally:
                waited += time.monotonic() - began

        async with alongside(feed()), aclosing(decoded()) as blocks:
            yield blocks, decoder
