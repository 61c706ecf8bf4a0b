"""An upload of audio, decoded and compressed to `.ecdc` while it arrives."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np
import structlog

from model_core.audio import parse_content_type
from model_core.codec import Codec, Compressor, InputWarning
from model_core.ecdc import Header
from model_core.errors import InvalidAudioError

from ..cancellation import alongside
from ..decoder.protocol import DecodeRequest
from ..http.problems import Problem, ProblemCode
from .call import Call
from .upload import Upload

logger = structlog.get_logger(__name__)


@dataclass(frozen=True)
class Compressed:
    """An `.ecdc` file in two pieces; `payload` stands at its first byte."""

    codec: Codec
    header: Header
    payload: BinaryIO
    payload_bytes: int
    filename: str | None
    """What the client calls the file it came from."""
    warnings: Sequence[InputWarning] = ()
    """What in its audio a higher effort would have coded better."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header.to_bytes()) + self.payload_bytes


_START = 1 << 16  # bytes of an upload with which work on it begins


async def compress(
    call: Call, model: str, bandwidth: float, lm: bool, live: bool = False, effort: int = 0
) -> Compressed:
    """Compress the request's audio at `bandwidth` kbps, with `effort` (`Encoder`).

    Wrong parameters are refused before the body is read. Raises as `audio_blocks` and `Compressor`.
    """
    codec = await call.models.for_compression(model, lm)
    codec.config.codebooks_for(bandwidth)
    upload = await call.upload(live)
    compressor = Compressor(codec, bandwidth, lm, call.runner, effort)
    payload = call.spool()
    async with audio_blocks(call, upload, codec) as blocks:
        async for samples in blocks:
            payload.write(await compressor.push(samples))
        payload.write(await compressor.finish())
    size = payload.tell()
    payload.seek(0)
    log_warnings(compressor.warnings)
    return Compressed(codec, compressor.header, payload, size, upload.filename, compressor.warnings)


def log_warnings(warnings: Sequence[InputWarning]) -> None:
    """A line for each."""
    for warning in warnings:
        logger.info("audio that effort=1 codes better", warning=warning.code, **warning.values)


@asynccontextmanager
async def audio_blocks(
    call: Call, upload: Upload, codec: Codec
) -> AsyncIterator[AsyncIterator[np.ndarray]]:
    """The audio of `upload` as blocks float32 `[C, n]` at the codec's rate, decoded while it
    arrives. Takes a permit when enough of it is there.

    The block under `async with` is cancelled when the upload turns out to be wrong or the client
    leaves. Raises `Problem`, `InvalidAudioError` and `ClientDisconnect`.
    """
    try:
        raw = parse_content_type(upload.content_type)
    except InvalidAudioError as error:
        raise Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, str(error)) from None
    upload = await upload.begin(1 if upload.live else _START)
    await call.admit()
    config = codec.config
    body_ended = asyncio.Event()
    request = DecodeRequest(
        config.sample_rate, config.channels, raw, call.settings.max_audio_seconds, upload.size
    )
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
            with call.waiting_for_client():
                await body_ended.wait()  # the audio may end before the body does

        async def _next(blocks: AsyncIterator[np.ndarray]) -> np.ndarray | None:
            if body_ended.is_set():
                return await anext(blocks, None)
            with call.waiting_for_client():
                return await anext(blocks, None)

        async with alongside(feed()), aclosing(decoded()) as blocks:
            yield blocks
