"""Samples to version 1 files, chunk by chunk: what is written so far can be read at any time."""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial

import numpy as np

from ..ecdc.v1 import Header, Writer, default_chunk, pack_codes
from ..engine import EncodedBlock
from ..entropy import ARITHMETIC
from .codec import Codec
from .compressing import Encoder
from .work import INLINE, Runner, Work

_LM_CHUNK_SECONDS = 4
"""Of a causal model's chunk: a language model begins anew in each, and codes longer ones better."""


@dataclass(frozen=True)
class Recording:
    """What a file says of what it was made from; see `ecdc.v1.Header`."""

    rate: int | None = None
    channels: int | None = None
    name: str | None = None
    tags: tuple[tuple[str, str], ...] = ()


class ChunkCompressor:
    """Samples in, the bytes of a version 1 file out. `runner` runs the networks."""

    def __init__(
        self,
        codec: Codec,
        bandwidth: float,
        lm: bool = False,
        runner: Runner = INLINE,
        recording: Recording = Recording(),
        chunk: int | None = None,
    ):
        """`chunk`: as in `ecdc.v1.Header`; by default about a second, four with a language model.

        Raises `UnsupportedBandwidthError`, `BitstreamError` for a recording or a chunk that no
        header can hold, and `WeightsUnavailableError` for want of a language model.
        """
        config = codec.config
        self._codec = codec
        self._runner = runner
        self._lm = codec.require_lm() if lm else None
        if chunk is None:
            longer = _LM_CHUNK_SECONDS if lm and config.segment is None else 1
            chunk = longer * default_chunk(config)
        books = config.codebooks_for(bandwidth)
        self.header = Header(
            codec.name if self._lm is None else self._lm.name,
            books,
            0 if self._lm is None else ARITHMETIC,
            chunk,
            recording.rate,
            recording.channels,
            recording.name,
            tags=recording.tags,
        )
        self._writer = Writer(self.header)
        self._encoder = Encoder(codec, books, runner)
        self._blocks: list[EncodedBlock] = []  # not yet written
        self._begun = False

    @property
    def samples(self) -> int:
        """At the model's rate, pushed so far."""
        return self._encoder.samples

    async def push(self, samples: np.ndarray) -> bytes:
        """Take samples float32 `[C, n]`; returns the bytes that are ready. Raises as `Encoder`."""
        return await self._write(await self._encoder.push(samples), ended=False)

    async def finish(self, original_samples: int = 0) -> bytes:
        """End the file; returns its last bytes. `original_samples`: of the recording at its own
        rate, 0 if that is not known. Raises as `Encoder`."""
        data = await self._write(await self._encoder.finish(), ended=True)
        return data + self._writer.finish(original_samples)

    async def _write(self, blocks: list[EncodedBlock], *, ended: bool) -> bytes:
        self._blocks += blocks
        layout, number = self._writer.layout, self._writer.next_start // self._writer.layout.stride
        chunks: list[tuple[int, EncodedBlock, list[float]]] = []
        while self._blocks:
            samples = layout.samples(number, self.samples) if ended else layout.full
            found = self._take(layout.frames(samples))
            if found is None:
                break
            chunks.append((samples, *found))
            number += 1
        coded = await self._code([block.codes for _, block, _ in chunks])
        data = [] if self._begun else [self._writer.header()]
        self._begun = True
        for (samples, _, scales), codes in zip(chunks, coded, strict=True):
            data.append(self._writer.chunk(samples, codes, scales))
        return b"".join(data)

    def _take(self, frames: int) -> tuple[EncodedBlock, list[float]] | None:
        """The next frames of all segments, and the segments' scales, if they are there."""
        if sum(block.codes.shape[1] for block in self._blocks) < frames:
            return None
        codes: list[np.ndarray] = []
        scales: list[float] = []
        while frames:
            block = self._blocks.pop(0)
            some = min(frames, block.codes.shape[1])
            codes.append(block.codes[:, :some])
            if block.scale is not None:
                scales.append(block.scale)
            if some < block.codes.shape[1]:
                self._blocks.insert(0, EncodedBlock(block.codes[:, some:]))
            frames -= some
        return EncodedBlock(np.concatenate(codes, axis=1)), scales

    async def _code(self, chunks: Sequence[np.ndarray]) -> list[bytes]:
        if self._lm is None:
            return [pack_codes(codes, self._codec.config.bits_per_codebook) for codes in chunks]
        rate = self._codec.config.frame_rate
        lm, task = self._lm, self._codec.lm_encode_task
        works = [
            Work(task, partial(lm.encode_chunk, codes), codes.shape[1] / rate) for codes in chunks
        ]
        return await self._runner.run(works)
