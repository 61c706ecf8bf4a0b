"""An upload of `.ecdc`, checked before anything is decoded, and decoded to audio, streamed."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass
from io import BytesIO
from typing import BinaryIO

import numpy as np

from model_core.audio import (
    AudioFormat,
    Converter,
    choose_channels,
    choose_rate,
    encoder,
    rescale_factor,
)
from model_core.codec import Codec, Stored, Stored0
from model_core.codec.stored import samples_between, stored_chunks
from model_core.ecdc import payload_bytes, read_header
from model_core.ecdc.header import version_of
from model_core.ecdc.v1 import Parser
from model_core.ecdc.v1.header import MAX_HEADER_BYTES
from model_core.errors import TruncatedBitstreamError

from ..http.problems import Problem, ProblemCode, wrong_parameters
from .call import Call
from .encode import Compressed
from .upload import Upload


async def receive_ecdc(call: Call, upload: Upload) -> Compressed:
    """The whole file, of either version, and its codec. The caller notes how much of it counts.

    A header that is refused is refused before the rest is received. Raises `Problem`,
    `BitstreamError` and `ClientDisconnect`.
    """
    head = await receive_head(upload)
    receive = _receive_chunks if version_of(head) == 1 else _receive_payload
    codec, stored = await receive(call, upload, head)
    return Compressed(codec, stored, upload.filename)


async def receive_head(upload: Upload) -> bytes:
    """So much of the file that its header is there, if it has one."""
    head = bytearray()
    async for chunk in upload.chunks:
        head += chunk
        if len(head) >= MAX_HEADER_BYTES:
            break
    return bytes(head)


async def _receive_payload(call: Call, upload: Upload, head: bytes) -> tuple[Codec, Stored]:
    """Version 0: its length is what the header implies."""
    codec, stored = await receive_payload(call, upload, head)
    needed = payload_bytes(codec.config, stored.header)
    if stored.payload_bytes < needed:
        least = "at least " if stored.lm else ""
        raise TruncatedBitstreamError(
            f"{stored.payload_bytes} bytes of codes; {stored.samples} samples take {least}{needed}"
        )
    return codec, stored


async def receive_payload(call: Call, upload: Upload, head: bytes) -> tuple[Codec, Stored0]:
    """A version 0 file, as far as it is there; what follows the codes is not kept."""
    start = BytesIO(head)
    header = read_header(start)
    codec = await call.models.for_header(header)
    check_length(call, codec, header.audio_length)
    file = call.spool()
    file.write(start.read())
    most = None if header.lm else payload_bytes(codec.config, header)
    received = await fill(file, upload.chunks, most)
    return codec, Stored0(header, file, 0, received if most is None else min(received, most))


async def _receive_chunks(call: Call, upload: Upload, head: bytes) -> tuple[Codec, Stored]:
    """Version 1: its length stands at its end. Everything is verified as it arrives."""
    parser = Parser()
    parser.feed(head)
    codec = await call.models.for_header(parser.layout.header)
    file = call.spool()

    def verify(data: bytes) -> None:
        file.write(data)
        for _ in parser.chunks():
            check_length(call, codec, parser.progress.samples)

    def receive(data: bytes) -> None:
        parser.feed(data)
        verify(data)

    verify(head)
    async for data in upload.chunks:  # in a thread, since an index may list millions of chunks
        await asyncio.to_thread(receive, data)
    parser.end()
    return codec, await asyncio.to_thread(stored_chunks, file)


def check_length(call: Call, codec: Codec, samples: int) -> None:
    """Raises `Problem` 413 for more than `max_audio_seconds`."""
    seconds = samples / codec.config.sample_rate
    if seconds > call.settings.max_audio_seconds:
        raise Problem(
            ProblemCode.TOO_LONG,
            f"{seconds:.1f} s of audio; {call.settings.max_audio_seconds:g} s are admitted",
        )


def part_of(compressed: Compressed, start: float, end: float | None) -> range:
    """The samples from `start` to `end`, in seconds; an `end` beyond the audio is its end. Raises
    `Problem` 422 where nothing is left."""
    if end is not None and end <= start:
        raise wrong_parameters({"start": f"{start:g} is not before end, {end:g}"})
    rate, samples = compressed.codec.config.sample_rate, compressed.stored.samples
    first, last = samples_between(samples, rate, start, end)
    if first >= last:
        message = f"nothing is left between; the audio is {samples / rate:g} s long"
        raise wrong_parameters({"start": message})
    return range(first, last)


async def fill(file: BinaryIO, chunks: AsyncIterator[bytes], most: int | None) -> int:
    """Append `chunks` to `file` and go back to its start; returns how many bytes there were. Only
    the first `most` in the file are kept."""
    size = kept = file.tell()
    async for chunk in chunks:
        size += len(chunk)
        kept += file.write(chunk if most is None else chunk[: max(0, most - kept)])
    file.seek(0)
    return size


@dataclass(frozen=True)
class Output:
    """What decoded audio becomes."""

    format: AudioFormat
    rate: int
    channels: int
    samples: int
    """In each channel."""


def output_of(
    compressed: Compressed,
    part: range,
    format: AudioFormat,
    rate: int | str | None = None,
    channels: int | str | None = None,
) -> Output:
    """A part in a format at a rate (Hz) and a number of channels: `ORIGINAL` those that the file
    says, None the model's. The rate becomes one that the format has. Raises `Problem` 422 where
    the file does not say them, or says others than can be made."""
    config, stored = compressed.codec.config, compressed.stored
    name = "sample_rate"
    try:
        hertz = choose_rate(rate, stored.original_rate, config.sample_rate)
        name = "channels"
        count = choose_channels(channels, stored.original_channels, config.channels)
    except ValueError as wrong:
        raise wrong_parameters({name: str(wrong)}) from None
    hertz = format.rate(hertz)
    samples = stored.samples_at(hertz, config.sample_rate, part.start, part.stop)
    return Output(format, hertz, count, samples)


async def decode_to_file(
    call: Call, compressed: Compressed, part: range, output: Output, rescale: bool = False
) -> AsyncIterator[bytes]:
    """A part of the audio of `compressed` as a file, streamed while it is decoded.

    The first block is decoded before this returns, so that most of what is wrong is known before
    a response has started; with `rescale` everything is decoded twice, first for its peak. Raises
    `ClientDisconnect`, `BitstreamError` (while streaming too), and `WeightsUnavailableError` if the
    file's language model is missing.
    """
    config = compressed.codec.config

    def decode() -> AsyncIterator[np.ndarray]:
        audio = compressed.stored.audio(compressed.codec, call.runner, part.start, part.stop)
        blocks = _in_turns(call, compressed.codec, audio)
        if (output.rate, output.channels) == (config.sample_rate, config.channels):
            return blocks
        return _converted(blocks, config.sample_rate, config.channels, output)

    call.note_decoding(compressed.codec, len(part) * (2 if rescale else 1))
    async with call.while_connected():
        factor = 1.0
        if rescale:
            peaks = [np.abs(samples).max() async for samples in decode()]
            factor = rescale_factor(float(max(peaks, default=0.0)))
        tags = compressed.stored.tags
        file = encoder(output.format, output.rate, output.channels, output.samples, tags)
        blocks = decode()
        first = await anext(blocks, None)

    async def encoded(block: np.ndarray) -> bytes:
        if output.format.codec:
            return await asyncio.to_thread(file.push, block, factor)
        return file.push(block, factor)

    async def data() -> AsyncGenerator[bytes]:
        if first is not None:
            yield await encoded(first)
        async for block in blocks:
            yield await encoded(block)
        yield await asyncio.to_thread(file.finish) if output.format.codec else file.finish()

    return data()


async def _in_turns(
    call: Call, codec: Codec, blocks: AsyncIterator[np.ndarray]
) -> AsyncGenerator[np.ndarray]:
    """`blocks`; other requests get a turn after each. The silence of a damaged file, which may be
    hours, waits for nothing else."""
    async for samples in blocks:
        yield samples
        call.note_decoding(codec, 0, done=samples.shape[1])
        await asyncio.sleep(0)


async def _converted(
    blocks: AsyncIterator[np.ndarray], rate: int, channels: int, output: Output
) -> AsyncGenerator[np.ndarray]:
    """`blocks` at another rate or of other channels; the work is done in threads."""
    convert = await asyncio.to_thread(
        Converter, rate, channels, output.rate, output.channels, samples=output.samples
    )
    async for block in blocks:
        made = await asyncio.to_thread(convert.push, block)
        if made.shape[1]:
            yield made
    made = await asyncio.to_thread(convert.finish)
    if made.shape[1]:
        yield made
