"""Audio of live streams: PCM and containers in, PCM out."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass

import numpy as np

from model_core.audio import Converter, pcm16
from model_core.audio.samples import Samples, scaled
from model_core.codec import ChunkCompressor, Codec, Recording
from model_core.config import ModelConfig
from model_core.errors import InvalidAudioError

from ..cancellation import alongside
from ..decoder.protocol import DecodeRequest
from ..http.problems import Problem, ProblemCode
from .parameters import Compress
from .session import Session

_LONG = 1 << 14  # samples that are converted in a thread

_TYPES = {"s16": ("<i2", 2.0**-15), "f32": ("<f4", 1.0)}


@dataclass
class Source:
    """Blocks float32 `[C, n]` as the model has them, and what was recorded."""

    blocks: AsyncGenerator[Samples]
    recorded: Recording


async def compressed(session: Session, wanted: Compress, codec: Codec) -> AsyncGenerator[bytes]:
    """The file that the client's audio becomes, as it comes, in pieces of one or more chunks.

    Raises `Problem`, `InvalidAudioError` and what `Session.data` raises.
    """
    async with _source(session, wanted, codec) as source, aclosing(source.blocks) as blocks:
        compressor: ChunkCompressor | None = None
        async for samples in blocks:
            session.add_samples(samples.shape[1])
            compressor = compressor or compressor_of(session, wanted, codec, source.recorded)
            if data := await compressor.push(samples):
                yield data
        if compressor is None:
            raise InvalidAudioError("there are no samples to encode")
        yield await compressor.finish()


def compressor_of(
    session: Session, wanted: Compress, codec: Codec, recorded: Recording
) -> ChunkCompressor:
    """Of a stream. Raises `UnsupportedBandwidthError`."""
    step = min(wanted.chunk, codec.engine.block_frames)
    return ChunkCompressor(
        codec,
        wanted.bandwidth,
        wanted.lm,
        session.runner,
        recording=recorded,
        chunk=wanted.chunk,
        step=step,
    )


@asynccontextmanager
async def _source(session: Session, wanted: Compress, codec: Codec) -> AsyncIterator[Source]:
    if wanted.input == "container":
        async with _decoded(session, codec.config) as source:
            yield source
        return
    rate = wanted.sample_rate or codec.config.sample_rate
    blocks = _pcm(session, wanted.input, rate, wanted.channels, codec.config)
    yield Source(blocks, Recording(rate, wanted.channels))


async def _pcm(
    session: Session, kind: str, rate: int, channels: int, config: ModelConfig
) -> AsyncGenerator[Samples]:
    dtype, scale = _TYPES[kind]
    width = np.dtype(dtype).itemsize * channels
    target = config.sample_rate, config.channels
    convert = await asyncio.to_thread(Converter, rate, channels, *target, eager=True)
    rest = b""
    async for data in session.data():
        data = rest + data if rest else data
        count = len(data) // width
        rest = data[count * width :]
        if not count:
            continue
        given = np.frombuffer(data, dtype, count * channels).reshape(count, channels).T
        samples = scaled(given, scale)
        if rate == config.sample_rate or count < _LONG:
            made = convert.push(samples)
        else:
            made = await asyncio.to_thread(convert.push, samples)
        if made.shape[1]:
            yield made
    if rest and not session.gone:
        raise InvalidAudioError("the audio ends inside a sample")
    made = convert.finish()
    if made.shape[1]:
        yield made


@asynccontextmanager
async def _decoded(session: Session, config: ModelConfig) -> AsyncIterator[Source]:
    """The audio of a container, decoded by FFmpeg while it comes."""
    longest = session.settings.max_audio_seconds
    request = DecodeRequest(config.sample_rate, config.channels, None, longest, live=True)
    ended = asyncio.Event()
    async with session.app.decoders.open(request) as decoder:

        async def feed() -> None:
            async for data in session.data():
                if session.received > session.settings.max_upload_bytes:
                    most = session.settings.max_upload_bytes
                    raise Problem(ProblemCode.TOO_LARGE, f"more than {most} bytes of audio")
                await decoder.feed(data)
            await decoder.end_of_input()
            ended.set()

        async def decoded() -> AsyncGenerator[Samples]:
            try:
                async for samples in decoder.blocks():
                    if (found := decoder.source) is not None:
                        source.recorded = Recording(found.rate, found.channels)
                    yield samples
            except InvalidAudioError:
                # A client that has left has cut its audio off somewhere.
                if not session.gone:
                    raise
            await ended.wait()

        source = Source(decoded(), Recording())
        async with alongside(feed()):
            yield source


class Sink:
    """Decoded audio as the client wants it."""

    def __init__(self, output: str, config: ModelConfig, rate: int | None, channels: int | None):
        """`output`: `f32` or `s16`; a rate in Hz and a number of channels, by default the
        model's."""
        self.output = output
        self.rate = rate or config.sample_rate
        self.channels = channels or config.channels
        source = config.sample_rate, config.channels
        self._converter = Converter(*source, self.rate, self.channels, eager=True)

    def push(self, samples: Samples) -> bytes:
        """Interleaved PCM."""
        return self._packed(self._converter.push(samples))

    def finish(self) -> bytes:
        """What is left of it."""
        return self._packed(self._converter.finish())

    def _packed(self, samples: Samples) -> bytes:
        if self.output == "s16":
            return pcm16(samples)
        return np.ascontiguousarray(samples.T, "<f4").tobytes()
