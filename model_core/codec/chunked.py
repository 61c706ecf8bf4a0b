"""Samples to version 1 files, chunk by chunk: what is written so far can be read at any time."""

from collections.abc import Sequence
from functools import partial
from typing import BinaryIO

import numpy as np

from ..ecdc.v1 import Header, Writer, default_chunk, pack_codes
from ..engine import BEAMS, EncodedBlock
from ..entropy import ARITHMETIC
from .codec import Codec, LanguageModel
from .compressing import UNKNOWN, Encoder, Recording
from .corrections import InputWarning
from .stored import Stored1, stored_chunks
from .verification import encode_verified
from .work import INLINE, Runner, Work

_LM_CHUNK_SECONDS = 4
"""Of a causal model's chunk: a language model begins anew in each, and codes longer ones better."""

SEARCHED = 2
"""The effort from which on codes are searched that cost the language model few bits."""


class ChunkPacker:
    """Encoded blocks in, the bytes of a version 1 file out."""

    def __init__(
        self,
        codec: Codec,
        header: Header,
        runner: Runner = INLINE,
        verify: bool = False,
        beam: int = 0,
    ):
        """With `verify`, what the language model coded is decoded again before it is returned, and
        `push` and `finish` raise `VerificationError`. With a `beam`, blocks have latents, whose
        codes are searched here: see `CodeSearch`. Raises `WeightsUnavailableError` for want of the
        language model that the header names."""
        self._codec = codec
        self._beam = beam
        self._books = header.num_codebooks
        self._encode = encode_verified if verify else LanguageModel.encode_chunks
        self._lm = codec.lm_of(header.model) if header.lm else None
        self._runner = runner
        self._writer = Writer(header)
        self._blocks: list[EncodedBlock] = []  # not yet written
        self._begun = False

    async def push(self, blocks: Sequence[EncodedBlock]) -> bytes:
        """Take whole blocks: segments, or any number of frames of a causal model; returns the bytes
        that are ready."""
        self._blocks += blocks
        return await self._write(None)

    async def finish(
        self, blocks: Sequence[EncodedBlock], samples: int, original_samples: int = 0
    ) -> bytes:
        """Take the last blocks, which the end of the audio may cut, and end the file, of `samples`
        samples at the model's rate and `original_samples` of the recording at its own (0 if that
        is not known); returns its last bytes."""
        self._blocks += blocks
        return await self._write(samples) + self._writer.finish(original_samples)

    async def _write(self, total: int | None) -> bytes:
        """The chunks that are complete; with `total`, all of them."""
        layout = self._writer.layout
        number = self._writer.next_start // layout.stride
        chunks: list[tuple[int, np.ndarray, list[float]]] = []
        while self._blocks:
            samples = layout.full if total is None else layout.samples(number, total)
            frames = layout.frames(samples)
            if sum(block.frames for block in self._blocks) < frames:
                break
            chunks.append((samples, *self._take(frames)))
            number += 1
        coded = await self._code([taken for _, taken, _ in chunks])
        data = [] if self._begun else [self._writer.header()]
        self._begun = True
        for (samples, _, scales), some in zip(chunks, coded, strict=True):
            data.append(self._writer.chunk(samples, some, scales))
        return b"".join(data)

    def _take(self, frames: int) -> tuple[np.ndarray, list[float]]:
        """The next codes `[K, frames]`, or latents `[D, frames]`, of all segments, and the scales
        of these."""
        taken: list[np.ndarray] = []
        scales: list[float] = []
        while frames:
            block = self._blocks.pop(0)
            some = min(frames, block.frames)
            taken.append(block.content[:, :some])
            if block.scale is not None:
                scales.append(block.scale)
            if some < block.frames:
                self._blocks.insert(0, block.after(some))
            frames -= some
        return np.concatenate(taken, axis=1), scales

    async def _code(self, chunks: Sequence[np.ndarray]) -> list[bytes]:
        config = self._codec.config
        if self._lm is None or not chunks:
            return [pack_codes(codes, config.bits_per_codebook) for codes in chunks]
        cost = sum(chunk.shape[1] for chunk in chunks) / config.frame_rate
        encode = self._search_and_encode if self._beam else self._encode
        item = partial(encode, self._lm, chunks)
        coded: list[list[bytes]] = await self._runner.run(
            [Work(self._codec.lm_encode_task, item, cost)]
        )
        return coded[0]

    def _search_and_encode(
        self, lm: LanguageModel, latents: Sequence[np.ndarray], threads: int
    ) -> list[bytes]:
        search = self._codec.code_search()
        return self._encode(
            lm, search.find(latents, self._books, self._beam, threads=threads), threads
        )


class ChunkCompressor:
    """Samples in, the bytes of a version 1 file out. `runner` runs the networks."""

    def __init__(
        self,
        codec: Codec,
        bandwidth: float,
        lm: bool = False,
        runner: Runner = INLINE,
        effort: int = 0,
        recording: Recording = UNKNOWN,
        chunk: int | None = None,
        verify: bool = False,
        step: int | None = None,
    ):
        """`effort`, `step`: as of `Encoder`. From effort 2 on (`SEARCHED`) a language model has a
        say in the choice of codes. `chunk`: as in `ecdc.v1.Header`; see `new_header`.
        `verify`: as of `ChunkPacker`.

        Raises `UnsupportedBandwidthError`, `BitstreamError` for a recording or a chunk that no
        header can hold, and `WeightsUnavailableError` for want of a language model.
        """
        books = codec.config.codebooks_for(bandwidth)
        searches = lm and effort >= SEARCHED
        self.header = new_header(codec, books, lm, recording, chunk)
        self._encoder = Encoder(codec, books, runner, effort, step, searches)
        beam = BEAMS[effort] if searches else 0
        self._packer = ChunkPacker(codec, self.header, runner, verify, beam)

    @property
    def warnings(self) -> list[InputWarning]:
        """As `Encoder`, once the stream has ended."""
        return self._encoder.warnings

    @property
    def samples(self) -> int:
        """At the model's rate, pushed so far."""
        return self._encoder.samples

    async def push(self, samples: np.ndarray) -> bytes:
        """Take samples float32 `[C, n]`; returns the bytes that are ready. Raises as `Encoder`."""
        return await self._packer.push(await self._encoder.push(samples))

    async def finish(self, original_samples: int = 0) -> bytes:
        """End the file; returns its last bytes. `original_samples`: of the recording at its own
        rate, 0 if that is not known. Raises as `Encoder`."""
        blocks = await self._encoder.finish()
        return await self._packer.finish(blocks, self.samples, original_samples)

    def stored(self, payload: BinaryIO) -> Stored1:
        """The file, ended, that was written to `payload`, alone there."""
        return stored_chunks(payload)


def new_header(
    codec: Codec,
    num_codebooks: int,
    lm: bool,
    recording: Recording = UNKNOWN,
    chunk: int | None = None,
) -> Header:
    """Of a file of `codec`'s. Chunks are of about a second by default; of four, where a language
    model codes a causal one's. Raises as `ChunkCompressor`."""
    language_model = codec.require_lm() if lm else None
    if chunk is None:
        longer = _LM_CHUNK_SECONDS if lm and codec.config.segment is None else 1
        chunk = longer * default_chunk(codec.config)
    return Header(
        codec.name if language_model is None else language_model.name,
        num_codebooks,
        0 if language_model is None else ARITHMETIC,
        chunk,
        recording.rate,
        recording.channels,
        recording.name,
        tags=recording.tags,
    )
