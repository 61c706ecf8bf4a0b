"""An upload compressed to `.ecdc`, whole; and `.ecdc` decoded to WAV, streamed."""

from collections.abc import AsyncGenerator
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from model_core.audio import pcm16, rescale_factor, wav_header
from model_core.codec import Codec, Compressor, Decompressor
from model_core.ecdc import Header

from .call import Call
from .recording import for_each_block


@dataclass(frozen=True)
class Compressed:
    """An `.ecdc` file in two pieces; `payload` stands at its first byte."""

    codec: Codec
    header: Header
    payload: BinaryIO
    payload_bytes: int
    filename: str | None
    """What the client calls the file it came from."""

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.header.to_bytes()) + self.payload_bytes


async def compress(call: Call, model: str, bandwidth: float, lm: bool) -> Compressed:
    """Compress the request's audio at `bandwidth` kbps.

    What is wrong with the parameters shows before a permit is taken or the body is read. Raises as
    `for_each_block` and `Compressor`.
    """
    codec = await call.models.for_compression(model, lm)
    codec.config.codebooks_for(bandwidth)
    await call.admit()
    upload = await call.upload()
    compressor = Compressor(codec, bandwidth, lm)
    payload = call.spool()

    async def use(samples: np.ndarray) -> None:
        payload.write(await call.run(compressor.push(samples)))

    await for_each_block(call, upload, codec, use)
    payload.write(await call.run(compressor.finish()))
    size = payload.tell()
    payload.seek(0)
    return Compressed(codec, compressor.header, payload, size, upload.filename)


class Decoding:
    """Decodes what was compressed, block by block, to the bytes of a WAV."""

    def __init__(self, call: Call, compressed: Compressed):
        """Raises `WeightsUnavailableError` for want of the language model the file needs."""
        self._call = call
        self._compressed = compressed
        self._start = compressed.payload.tell()
        self._decompressor = self._open()
        self._first: np.ndarray | None = None
        self._factor = 1.0

    def _open(self) -> Decompressor:
        compressed = self._compressed
        compressed.payload.seek(self._start)
        return Decompressor(compressed.codec, compressed.header, compressed.payload)

    async def rescale(self) -> None:
        """Decode everything once for its peak, so that nothing need be clipped."""
        peak = 0.0
        while (samples := await self._next()) is not None:
            peak = max(peak, float(np.abs(samples).max()))
        self._factor = rescale_factor(peak)
        self._decompressor = self._open()

    async def begin(self) -> None:
        """Decode the first block, so that what is wrong shows before a response has started."""
        self._first = await self._next()

    async def wav(self) -> AsyncGenerator[bytes]:
        """The file, 16-bit PCM. Raises `BitstreamError` in the middle where it is broken."""
        config, header = self._compressed.codec.config, self._compressed.header
        samples = self._first
        self._first = None
        yield wav_header(config.sample_rate, config.channels, header.audio_length)
        while samples is not None:
            yield pcm16(samples, self._factor)
            samples = await self._next()

    async def _next(self) -> np.ndarray | None:
        return await self._call.run(self._decompressor.next_block())
