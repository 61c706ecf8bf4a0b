"""The payload of an `.ecdc` file to samples."""

from collections.abc import AsyncIterator
from functools import partial
from itertools import islice
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from ..ecdc import BitUnpacker, Header, Segment, read_exactly, read_scale, segments
from ..engine import DecodeItem, EncodedBlock, OverlapAdd, StreamState
from ..errors import BitstreamError
from .codec import Codec, LanguageModel
from .work import INLINE, Runner, Work

if TYPE_CHECKING:
    from .entropy import LMDecoder


LOUDEST_DECODED = 1e30
"""Decoded samples beyond this, either way, may overflow when they are amplified, mixed or resampled
(1 is full scale). Only forged files have any."""


class PayloadReader:
    """The codes of a version 0 payload, forwards; `runner` runs the language model."""

    def __init__(self, codec: Codec, header: Header, payload: BinaryIO, runner: Runner = INLINE):
        """Raises `WeightsUnavailableError` if the language model that the file needs is missing."""
        self._codec = codec
        self._header = header
        self._payload = payload
        self._runner = runner
        self.lm = codec.lm_of(header.model) if header.lm else None
        self._unpacker = BitUnpacker(codec.config.bits_per_codebook)
        self._lm_decoder: LMDecoder | None = None

    async def segment(self, segment: Segment) -> EncodedBlock:
        """The next segment. Raises `TruncatedBitstreamError` or `BitstreamError`."""
        scale = read_scale(self._payload)
        codes = await self.codes(segment.frames)
        self._unpacker = BitUnpacker(self._codec.config.bits_per_codebook)
        self._lm_decoder = None
        return EncodedBlock(codes, scale)

    async def codes(self, frames: int) -> np.ndarray:
        """The next codes `[K, frames]` of the segment, or of the stream. Raises as `segment`."""
        codes: np.ndarray
        if self.lm is None:
            count = frames * self._header.num_codebooks
            self._unpacker.feed(read_exactly(self._payload, self._unpacker.missing(count)))
            return self._unpacker.pull(count).reshape(frames, self._header.num_codebooks).T
        cost = frames / self._codec.config.frame_rate
        item = partial(self._decode_with, self.lm, frames)
        (codes,) = await self._runner.run([Work(self._codec.lm_decode_task, item, cost)])
        return codes

    def _decode_with(self, lm: LanguageModel, frames: int, threads: int) -> np.ndarray:
        if self._lm_decoder is None:
            self._lm_decoder = lm.decoder(self._header.num_codebooks, self._payload)
        return self._lm_decoder.decode(frames)


class Decompressor:
    """Payload bytes in, samples out; exactly as many as the header says. `runner` runs the
    networks."""

    def __init__(self, codec: Codec, header: Header, payload: BinaryIO, runner: Runner = INLINE):
        """Raises `WeightsUnavailableError` if the language model that the file needs is missing."""
        self._codec = codec
        self._header = header
        self._runner = runner
        self._reader = PayloadReader(codec, header, payload, runner)
        self._left = header.audio_length
        self._segments = segments(codec.config, header.audio_length)
        self._overlap = OverlapAdd(codec.config.segment_stride or 1)
        self._state = StreamState()
        self._frames_left = codec.config.frames(header.audio_length)
        self._blocks_at_once = 1  # at first, so that the first one is there sooner

    async def blocks(self) -> AsyncIterator[np.ndarray]:
        """The samples float32 `[C, n]`, block by block.

        Raises `TruncatedBitstreamError` or `BitstreamError`, the latter also as `check_decoded`.
        """
        while self._left:
            if self._codec.config.segment is None:
                samples = await self._next_of_stream()
            else:
                samples = await self._next_segments()
            samples = samples[:, : self._left]
            check_decoded(samples)
            self._left -= samples.shape[1]
            yield samples

    async def _next_of_stream(self) -> np.ndarray:
        engine = self._codec.engine
        works: list[Work] = []
        while self._frames_left and len(works) < self._blocks_at_once:
            frames = min(self._frames_left, engine.block_frames)
            self._frames_left -= frames
            codes = await self._reader.codes(frames)
            item = DecodeItem(EncodedBlock(codes), last=not self._frames_left, state=self._state)
            works.append(self._work(item))
        if self._reader.lm is None:  # else decoding the codes takes longer than the network does
            self._blocks_at_once = min(2 * self._blocks_at_once, engine.blocks_at_once)
        return np.concatenate(await self._runner.run(works, in_order=True), axis=1)

    async def _next_segments(self) -> np.ndarray:
        # With a language model, decoding the codes takes longer than the network does.
        count = self._codec.engine.max_batch if self._reader.lm is None else 1
        ahead = list(islice(self._segments, count))
        blocks = [await self._reader.segment(segment) for segment in ahead]
        works = [self._work(DecodeItem(block, last=True)) for block in blocks]
        decoded = await self._runner.run(works)
        joined = []
        for segment, samples in zip(ahead, decoded, strict=True):
            last = segment.offset + self._overlap.stride >= self._header.audio_length
            joined.append(self._overlap.push(samples, last))
        return np.concatenate(joined, axis=1)

    def _work(self, item: DecodeItem) -> Work:
        cost = item.block.codes.shape[1] / self._codec.config.frame_rate
        return Work(self._codec.decode_task, item, cost)


def check_decoded(samples: np.ndarray) -> None:
    """Raises `BitstreamError` for samples that are not finite or beyond `LOUDEST_DECODED`."""
    least, greatest = samples.min(initial=0), samples.max(initial=0)
    if not (least >= -LOUDEST_DECODED and greatest <= LOUDEST_DECODED):  # so that NaN does not pass
        raise BitstreamError(
            f"it decodes to samples that are not finite or beyond ±{LOUDEST_DECODED:g}"
        )


def with_gain(samples: np.ndarray, decibels: float) -> np.ndarray:
    """Decoded samples at the gain that a header gives them. Raises as `check_decoded`."""
    check_decoded(samples)
    factor = np.float32(10 ** (decibels / 20))
    return samples if factor == 1 else samples * factor
