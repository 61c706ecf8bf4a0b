"""A compressed file of either version, in a file object that can seek."""

from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing
from dataclasses import dataclass
from typing import BinaryIO

import numpy as np

from ..ecdc import Header, read_header, segments
from ..ecdc.header import version_of
from ..ecdc.v1 import ChunkFile
from ..ecdc.v1 import Header as ChunkedHeader
from ..ecdc.v1.metadata import Tags
from ..engine import EncodedBlock
from ..errors import TruncatedBitstreamError
from .chunk_reader import ChunkReader
from .codec import Codec
from .decompressing import Decompressor, PayloadReader
from .seeking import ChunkDecompressor, decoded_from
from .work import INLINE, Runner

_BLOCK_FRAMES = 1024  # of a causal model's codes


class Described:
    """What a file's header says."""

    header: Header | ChunkedHeader
    samples: int
    """Of the audio, at the model's rate."""
    original_samples = 0
    """Of the recording before it was compressed, at its own rate; 0 if the file does not say."""

    @property
    def model(self) -> str:
        """As headers call it."""
        return self.header.model

    @property
    def num_codebooks(self) -> int:
        return self.header.num_codebooks

    @property
    def lm(self) -> bool:
        """Whether a language model coded it."""
        return bool(self.header.lm)

    @property
    def original_rate(self) -> int | None:
        """Hz, of the recording before it was compressed, if the file says so."""
        return self.header.rate if isinstance(self.header, ChunkedHeader) else None

    @property
    def original_channels(self) -> int | None:
        """Of the recording, if the file says so."""
        return self.header.channels if isinstance(self.header, ChunkedHeader) else None

    @property
    def tags(self) -> Tags:
        """Of the recording, as the file says them: not trusted."""
        return self.header.tags if isinstance(self.header, ChunkedHeader) else ()

    def samples_at(self, rate: int, model_rate: int, start: int, end: int) -> int:
        """How many samples the part from `start` to `end` has at `rate` Hz. All of it at the
        original's rate has as many as the original: up to one of the model's fewer than resampling
        back would give."""
        from ..audio import converted_length  # needs FFmpeg, which training does without

        count = converted_length(end - start, model_rate, rate)
        whole = start == 0 and end == self.samples and rate == self.original_rate
        if not whole or not self.original_samples:
            return count
        more = count - self.original_samples
        return self.original_samples if 0 < more <= converted_length(1, model_rate, rate) else count


@dataclass
class Stored0(Described):
    """A version 0 file."""

    header: Header
    payload: BinaryIO
    begin: int
    """Of the payload, in its file object."""
    payload_bytes: int

    version = 0

    def __post_init__(self) -> None:
        self.samples = self.header.audio_length

    @property
    def prefix(self) -> bytes:
        """What the file has before what `payload` holds."""
        return self.header.to_bytes()

    @property
    def size(self) -> int:
        """Bytes of the whole file."""
        return len(self.prefix) + self.payload_bytes

    def audio(
        self, codec: Codec, runner: Runner = INLINE, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[np.ndarray]:
        """The samples float32 `[C, n]` from `start` up to `end`. All before `end` is decoded: the
        decoder remembers it. Raises as `Decompressor`."""
        self.payload.seek(self.begin)
        blocks = Decompressor(codec, self.header, self.payload, runner).blocks()
        return _part(blocks, start, self.samples if end is None else end)

    def decoded(self, codec: Codec, start: int, end: int) -> int:
        """Samples that `audio` decodes for those from `start` to `end`."""
        return end

    async def codes(self, codec: Codec, runner: Runner = INLINE) -> AsyncGenerator[EncodedBlock]:
        """The codes of segments, or of some frames at a time of a causal model."""
        self.payload.seek(self.begin)
        reader = PayloadReader(codec, self.header, self.payload, runner)
        if codec.config.segment is not None:
            for segment in segments(codec.config, self.samples):
                yield await reader.segment(segment)
            return
        left = codec.config.frames(self.samples)
        while left:
            some = min(left, _BLOCK_FRAMES)
            left -= some
            yield EncodedBlock(await reader.codes(some))


class Stored1(Described):
    """A version 1 file."""

    version = 1
    begin = 0
    prefix = b""

    def __init__(self, file: ChunkFile, payload: BinaryIO):
        """`payload` holds all of it."""
        self.file = file
        self.header: ChunkedHeader = file.header
        self.payload = payload
        self.samples = file.samples
        self.original_samples = file.original_samples
        self.size = payload.seek(0, 2)
        """Bytes of the whole file."""

    def audio(
        self, codec: Codec, runner: Runner = INLINE, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[np.ndarray]:
        """The samples float32 `[C, n]` from `start` up to `end`. Raises as `ChunkDecompressor`."""
        return ChunkDecompressor(codec, self.file, runner).blocks(start, end)

    def decoded(self, codec: Codec, start: int, end: int) -> int:
        """Samples that `audio` decodes for those from `start` to `end`, about."""
        return end - decoded_from(codec.config, start)

    async def codes(self, codec: Codec, runner: Runner = INLINE) -> AsyncGenerator[EncodedBlock]:
        """The codes of segments, or of some frames at a time of a causal model."""
        reader = ChunkReader(codec, self.file, runner)
        if codec.config.segment is not None:
            for number in range(len(self.file)):
                for block in await reader.segments(number * self.file.header.chunk):
                    yield block
            return
        frames = codec.config.frames(self.samples)
        for begin in range(0, frames, _BLOCK_FRAMES):
            yield EncodedBlock(await reader.frames(begin, min(frames, begin + _BLOCK_FRAMES)))


Stored = Stored0 | Stored1


def samples_between(samples: int, rate: int, start: float, end: float | None) -> tuple[int, int]:
    """The part of so much audio from `start` to `end`, in seconds: its first sample, and the one
    after its last, which is not after it where the part is empty. An `end` beyond the audio, or
    None, is its end."""
    last = samples if end is None else round(min(samples, end * rate))
    return round(min(samples, start * rate)), last


def open_stored(fo: BinaryIO) -> Stored:
    """The file that is all of `fo`. Raises `BitstreamError`, `TruncatedBitstreamError` for a
    version 1 file without its end."""
    fo.seek(0)
    version = version_of(fo.read(5))
    fo.seek(0)
    if version == 1:
        return stored_chunks(fo)
    header = read_header(fo)
    begin = fo.tell()
    return Stored0(header, fo, begin, fo.seek(0, 2) - begin)


def stored_chunks(fo: BinaryIO) -> Stored1:
    """As `open_stored`, for version 1."""
    file = ChunkFile(fo)
    if not file.complete:
        raise TruncatedBitstreamError("the file has no end: it still grows, or was cut off")
    return Stored1(file, fo)


async def _part(
    blocks: AsyncIterator[np.ndarray], start: int, end: int
) -> AsyncGenerator[np.ndarray]:
    place = 0
    async with aclosing(blocks):  # type: ignore[type-var]
        async for samples in blocks:
            part = samples[:, max(0, start - place) : max(0, end - place)]
            place += samples.shape[1]
            if part.shape[1]:
                yield part
            if place >= end:
                return
