"""An upload of `.ecdc`, checked before anything is decoded, and decoded to WAV, streamed."""

from collections.abc import AsyncGenerator, AsyncIterator
from io import BytesIO
from typing import BinaryIO

import numpy as np

from model_core.audio import pcm16, rescale_factor, wav_header
from model_core.codec import Decompressor
from model_core.ecdc import payload_bytes, read_header
from model_core.ecdc.header import MAX_HEADER_BYTES
from model_core.errors import TruncatedBitstreamError

from ..http.problems import Problem, ProblemCode
from .call import Call
from .encode import Compressed
from .upload import Upload


async def receive_ecdc(call: Call, upload: Upload) -> Compressed:
    """The whole file, its length what the header implies.

    A header that is refused is refused before the rest is received, and what follows the codes is
    not kept. Raises `Problem`, `BitstreamError` and `ClientDisconnect`.
    """
    head = bytearray()
    async for chunk in upload.chunks:
        head += chunk
        if len(head) >= MAX_HEADER_BYTES:
            break
    start = BytesIO(head)
    header = read_header(start)
    codec = await call.models.for_header(header)
    seconds = header.audio_length / codec.config.sample_rate
    if seconds > call.settings.max_audio_seconds:
        raise Problem(
            ProblemCode.TOO_LONG,
            f"{seconds:.1f} s of audio; {call.settings.max_audio_seconds:g} s are admitted",
        )
    needed = payload_bytes(codec.config, header)
    file = call.spool()
    file.write(start.read())
    received = await fill(file, upload.chunks, None if header.lm else needed)
    if received < needed:
        least = "at least " if header.lm else ""
        raise TruncatedBitstreamError(
            f"{received} bytes of codes; {header.audio_length} samples take {least}{needed}"
        )
    call.note_audio(codec, header.audio_length)
    size = received if header.lm else needed
    return Compressed(codec, header, file, size, upload.filename)


async def fill(file: BinaryIO, chunks: AsyncIterator[bytes], most: int | None) -> int:
    """Append `chunks` to `file` and go back to its start; returns how many bytes there were. Only
    the first `most` in the file are kept."""
    size = kept = file.tell()
    async for chunk in chunks:
        size += len(chunk)
        kept += file.write(chunk if most is None else chunk[: max(0, most - kept)])
    file.seek(0)
    return size


async def decode_to_wav(
    call: Call, compressed: Compressed, rescale: bool = False
) -> AsyncIterator[bytes]:
    """The audio of `compressed` as a file, 16-bit PCM, streamed while it is decoded.

    The first block is decoded before this returns, so that most of what is wrong is known before
    a response has started; with `rescale` everything is decoded twice, first for its peak. Raises
    `ClientDisconnect`, `BitstreamError` (while streaming too), and `WeightsUnavailableError` if the
    file's language model is missing.
    """
    async with call.while_connected():
        factor = 1.0
        if rescale:
            peaks = [np.abs(samples).max() async for samples in _decode(call, compressed)]
            factor = rescale_factor(float(max(peaks, default=0.0)))
        blocks = _decode(call, compressed)
        first = await anext(blocks, None)

    async def wav() -> AsyncGenerator[bytes]:
        config = compressed.codec.config
        yield wav_header(config.sample_rate, config.channels, compressed.header.audio_length)
        if first is not None:
            yield pcm16(first, factor)
        async for samples in blocks:
            yield pcm16(samples, factor)

    return wav()


def _decode(call: Call, compressed: Compressed) -> AsyncIterator[np.ndarray]:
    """Blocks float32 `[C, n]`, from the beginning."""
    compressed.payload.seek(0)
    codec, header = compressed.codec, compressed.header
    return Decompressor(codec, header, compressed.payload, call.runner).blocks()
