"""The codes of a version 1 file, at any place."""

from collections.abc import Sequence
from functools import partial
from typing import Protocol

import numpy as np

from ..ecdc.v1 import Chunk, Header, Layout, unpack_codes
from ..engine import EncodedBlock
from ..entropy import ARITHMETIC, TOGETHER
from ..errors import BitstreamError
from .codec import Codec
from .work import INLINE, Runner, Work


class Chunks(Protocol):
    """Chunks that follow one another from the first sample on: a file (`ecdc.v1.ChunkFile`), or
    what is left of one."""

    @property
    def header(self) -> Header: ...

    @property
    def layout(self) -> Layout: ...

    @property
    def samples(self) -> int:
        """Up to the end of the last chunk."""

    def __len__(self) -> int: ...

    def chunk(self, number: int) -> Chunk:
        """Raises `BitstreamError`."""


class ChunkDecoder:
    """The codes of chunks; `runner` runs the language model."""

    def __init__(self, codec: Codec, layout: Layout, runner: Runner = INLINE):
        """Raises `WeightsUnavailableError` if the language model that the file needs is missing,
        and `BitstreamError` for one in an arithmetic that is not known."""
        header = layout.header
        if header.lm not in (0, ARITHMETIC):
            raise BitstreamError(f"the file is coded in arithmetic {header.lm}, not known here")
        self._codec = codec
        self._layout = layout
        self._runner = runner
        self._lm = codec.lm_of(header.model) if header.lm else None

    @property
    def has_lm(self) -> bool:
        """Whether a language model codes them."""
        return self._lm is not None

    async def codes(self, chunks: Sequence[Chunk]) -> list[np.ndarray]:
        """`[K, T]` of each chunk. Raises `BitstreamError`."""
        books, config = self._layout.header.num_codebooks, self._codec.config
        coded = [(chunk.codes, self._layout.frames(chunk.samples)) for chunk in chunks]
        if self._lm is None:
            bits = config.bits_per_codebook
            return [unpack_codes(data, books, bits, frames) for data, frames in coded]
        cost = sum(frames for _, frames in coded) / config.frame_rate
        item = partial(self._lm.decode_chunks, books, coded)
        found: list[list[np.ndarray]] = await self._runner.run(
            [Work(self._codec.lm_decode_task, item, cost)]
        )
        return found[0]


class ChunkReader:
    """Reads chunks as their codes are asked for, forwards for the most part."""

    def __init__(self, codec: Codec, file: Chunks, runner: Runner = INLINE):
        """Raises as `ChunkDecoder`."""
        self._file = file
        self._decoder = ChunkDecoder(codec, file.layout, runner)
        self._decoded: dict[int, tuple[np.ndarray, tuple[float, ...]]] = {}

    async def frames(self, begin: int, stop: int) -> np.ndarray:
        """The codes `[K, stop - begin]` of frames of a causal model. Raises `BitstreamError`."""
        size = self._file.header.chunk
        first, last = begin // size, (stop - 1) // size
        await self._load(first, last)
        for number in [n for n in self._decoded if n < first]:
            del self._decoded[number]
        codes = np.concatenate([self._decoded[n][0] for n in range(first, last + 1)], axis=1)
        return np.ascontiguousarray(codes[:, begin - first * size : stop - first * size])

    async def segments(self, index: int) -> list[EncodedBlock]:
        """The segments of a chunk from segment `index` of the file on. Raises `BitstreamError`."""
        size = self._file.header.chunk
        number = index // size
        await self._load(number, number)
        codes, scales = self._decoded.pop(number)
        segments = self._file.layout.segments(self._file.layout.samples(number, self._file.samples))
        blocks, at = [], 0
        for segment, scale in zip(segments, scales, strict=True):
            part = codes[:, at : at + segment.frames]
            blocks.append(EncodedBlock(np.ascontiguousarray(part), scale))
            at += segment.frames
        return blocks[index - number * size :]

    async def _load(self, first: int, last: int) -> None:
        """Have the codes of chunks `first` to `last`, and of some more where that costs less."""
        wanted = [n for n in range(first, last + 1) if n not in self._decoded]
        if not wanted:
            return
        if self._decoder.has_lm:
            more = range(last + 1, min(len(self._file), first + TOGETHER))
            wanted += [n for n in more if n not in self._decoded]
        chunks = [self._file.chunk(number) for number in wanted]
        for chunk, codes in zip(chunks, await self._decoder.codes(chunks), strict=True):
            self._decoded[chunk.number] = codes, chunk.scales
