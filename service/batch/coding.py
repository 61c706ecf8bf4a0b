"""One recording: to `.ecdc`, to codes, or back to audio. Streams, in memory that does not grow with
the length (of codes for a table: 2 bytes each)."""

import asyncio
import tempfile
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Sequence
from contextlib import aclosing, asynccontextmanager, nullcontext
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np

from model_core.audio import (
    FORMATS,
    Converter,
    WaitingSamples,
    choose_channels,
    choose_rate,
    encoder,
)
from model_core.audio import Encoder as AudioEncoder
from model_core.codec import (
    Codec,
    Coding,
    Compressor,
    Encoder,
    InputWarning,
    Recording,
    Runner,
    Stored,
    open_stored,
)
from model_core.ecdc.v1 import file_name
from model_core.engine import EncodedBlock

from ..cancellation import alongside
from ..decoder.decoder import Decoder
from ..decoder.pool import DecoderPool
from ..decoder.protocol import DecodeRequest, Source
from .sources import Item
from .store import copy, open_range

_READ = 1 << 18  # bytes

Advance = Callable[[float], None]
"""Is told of seconds of audio that are done."""


@dataclass(frozen=True)
class Conversion:
    """What the command line asks for; see `model_core.cli.arguments`."""

    coding: Coding
    model: str | None
    """To compress with, as headers call it with its weights and language model; None where all is
    decompressed."""
    output: str = "wav"
    """Of decompressed audio, one of `audio.FORMATS`."""
    rescale: bool = False
    sample_rate: int | str | None = None
    channels: int | str | None = None


@dataclass(frozen=True)
class Made:
    """What became of a recording."""

    samples: int
    """At the model's rate."""
    rate: int
    """The model's, in Hz."""
    warnings: Sequence[InputWarning] = ()

    @property
    def seconds(self) -> float:
        """Of audio."""
        return self.samples / self.rate


@dataclass(frozen=True)
class Codes:
    """The codes of a recording, all segments one after the other."""

    made: Made
    codes: np.ndarray
    """int16 `[K, T]`."""
    scales: list[float]
    """Of segments; empty for a model that does not normalise."""


async def compress(
    item: Item,
    codec: Codec,
    coding: Coding,
    decoders: DecoderPool,
    runner: Runner,
    out: BinaryIO,
    advance: Advance,
) -> Made:
    """Audio to an `.ecdc` file, the one that the command `encodec` makes. Raises
    `InvalidAudioError`, `OSError`, and as `Coding.compressor`."""
    rate = codec.config.sample_rate
    async with _audio(item, codec, decoders) as (blocks, decoder):
        first = await anext(blocks, None)
        source = decoder.source or Source()
        recording = Recording(source.rate, source.channels, file_name(item.base), source.tags)
        compressor = coding.compressor(codec, runner, recording)
        # The header of version 0 is known last, and stands first.
        with nullcontext(out) if coding.format else tempfile.TemporaryFile() as payload:
            async for samples in _with_first(first, blocks):
                payload.write(await compressor.push(samples))
                advance(samples.shape[1] / rate)
            payload.write(await compressor.finish(decoder.source_samples))
            if isinstance(compressor, Compressor):
                out.write(compressor.header.to_bytes())
                copy(payload, out)
        return Made(compressor.samples, rate, compressor.warnings)


async def encode(
    item: Item,
    codec: Codec,
    coding: Coding,
    decoders: DecoderPool,
    runner: Runner,
    advance: Advance,
) -> Codes:
    """Audio to codes. Raises as `compress`."""
    books = codec.config.codebooks_for(coding.bandwidth)
    made = Encoder(codec, books, runner, coding.effort)
    rate = codec.config.sample_rate
    found: list[EncodedBlock] = []
    async with _audio(item, codec, decoders) as (blocks, _):
        async for samples in blocks:
            found += _narrow(await made.push(samples))
            advance(samples.shape[1] / rate)
        found += _narrow(await made.finish())
    return _joined(Made(made.samples, rate, made.warnings), found)


async def decode(stored: Stored, codec: Codec, runner: Runner, advance: Advance) -> Codes:
    """An `.ecdc` file to its codes. Raises `BitstreamError`."""
    found: list[EncodedBlock] = []
    async with aclosing(stored.codes(codec, runner)) as blocks:
        async for block in blocks:
            found += _narrow([block])
    made = Made(stored.samples, codec.config.sample_rate)
    advance(made.seconds)
    return _joined(made, found)


async def decompress(
    stored: Stored,
    codec: Codec,
    conversion: Conversion,
    runner: Runner,
    out: BinaryIO,
    advance: Advance,
) -> Made:
    """An `.ecdc` file to audio. Raises `BitstreamError`, and `ValueError` for a rate or number of
    channels that cannot be."""
    config, format = codec.config, FORMATS[conversion.output]
    rate = choose_rate(conversion.sample_rate, stored.original_rate, config.sample_rate)
    channels = choose_channels(conversion.channels, stored.original_channels, config.channels)
    rate = format.rate(rate)
    length = stored.samples_at(rate, config.sample_rate, 0, stored.samples)
    file = encoder(format, rate, channels, length, stored.tags)

    async def blocks() -> AsyncGenerator[np.ndarray]:
        convert = Converter(config.sample_rate, config.channels, rate, channels, samples=length)
        async with aclosing(stored.audio(codec, runner)) as decoded:
            async for samples in decoded:
                advance(samples.shape[1] / config.sample_rate)
                yield await asyncio.to_thread(convert.push, samples)
        yield await asyncio.to_thread(convert.finish)

    async with aclosing(blocks()) as converted:
        if conversion.rescale:
            await _write_rescaled(file, converted, channels, out)
        else:
            async for samples in converted:
                out.write(await asyncio.to_thread(file.push, samples))
    out.write(await asyncio.to_thread(file.finish))
    return Made(stored.samples, config.sample_rate)


@asynccontextmanager
async def opened(item: Item) -> AsyncIterator[Stored]:
    """An `.ecdc` file, in a local copy. Raises `BitstreamError` and `OSError`."""
    with tempfile.TemporaryFile() as file:
        await asyncio.to_thread(_fetch, item, cast(BinaryIO, file))
        yield open_stored(cast(BinaryIO, file))


def _fetch(item: Item, file: BinaryIO) -> None:
    with open_range(item.url, item.offset, item.size) as (source, _):
        while data := source.read(_READ):
            file.write(data)


@asynccontextmanager
async def _audio(
    item: Item, codec: Codec, decoders: DecoderPool
) -> AsyncIterator[tuple[AsyncIterator[np.ndarray], Decoder]]:
    """Blocks float32 `[C, n]` at the codec's rate, decoded in a confined process while the file is
    read, and its decoder. Raises `InvalidAudioError`, `DecoderError` and `OSError`."""
    config = codec.config
    with open_range(item.url, item.offset, item.size) as (file, size):
        request = DecodeRequest(config.sample_rate, config.channels, size=size)
        async with decoders.open(request) as decoder:

            async def feed() -> None:
                while data := await asyncio.to_thread(file.read, _READ):
                    await decoder.feed(data)
                await decoder.end_of_input()

            async with alongside(feed()), aclosing(decoder.blocks()) as blocks:  # type: ignore[type-var]
                yield blocks, decoder


async def _with_first(
    first: np.ndarray | None, rest: AsyncIterator[np.ndarray]
) -> AsyncIterator[np.ndarray]:
    if first is not None:
        yield first
    async for samples in rest:
        yield samples


async def _write_rescaled(
    file: AudioEncoder, blocks: AsyncIterator[np.ndarray], channels: int, out: BinaryIO
) -> None:
    """The samples wait in a file without a name until their peak is known."""
    with tempfile.TemporaryFile() as unnamed:
        waiting = WaitingSamples(cast(BinaryIO, unnamed), channels)
        async for samples in blocks:
            waiting.add(samples)
        for samples in waiting.blocks():
            out.write(await asyncio.to_thread(file.push, samples, waiting.factor))


def _narrow(blocks: Sequence[EncodedBlock]) -> list[EncodedBlock]:
    """The same, 2 bytes for each code: there are at most 1024 (`bins`)."""
    return [EncodedBlock(block.codes.astype(np.int16), block.scale) for block in blocks]


def _joined(made: Made, blocks: Sequence[EncodedBlock]) -> Codes:
    codes = np.concatenate([block.codes for block in blocks], axis=1)
    return Codes(made, codes, [block.scale for block in blocks if block.scale is not None])
