"""The payload of an `.ecdc` file to samples."""

from collections.abc import Iterator
from itertools import islice
from typing import BinaryIO

import numpy as np
import torch

from ..ecdc import BitUnpacker, Header, Segment, read_exactly, read_scale, segments
from ..engine import DecodeItem, EncodedBlock, OverlapAdd, StreamState
from ..errors import BitstreamError
from .codec import Codec
from .entropy import LMDecoder
from .work import InOrder, Steps, Work, run_steps


class Decompressor:
    """Payload bytes in, samples out; exactly as many as the header says."""

    def __init__(self, codec: Codec, header: Header, payload: BinaryIO):
        """Raises `WeightsUnavailableError` for want of the language model the file needs."""
        self._codec = codec
        self._header = header
        self._payload = payload
        self._lm = codec.lm_for(header) if header.lm else None
        self._left = header.audio_length
        self._segments = segments(codec.config, header.audio_length)
        self._overlap = OverlapAdd(codec.config.segment_stride or 1)
        self._state = StreamState()
        self._frames_left = codec.config.frames(header.audio_length)
        self._blocks = 1  # at the next step: one at first, which is there soonest
        self._unpacker = BitUnpacker(codec.config.bits_per_codebook)
        self._lm_decoder: LMDecoder | None = None

    def blocks(self) -> Iterator[np.ndarray]:
        """All of them, each computed here and now. Raises as `next_block`."""
        while (samples := run_steps(self.next_block())) is not None:
            yield samples

    def next_block(self) -> Steps[np.ndarray | None]:
        """The next samples float32 `[C, n]`, None at the end.

        Raises `TruncatedBitstreamError` or `BitstreamError`, the latter also for what decodes to
        samples that are not finite.
        """
        if not self._left:
            return None
        if self._codec.config.segment is None:
            samples = yield from self._next_of_stream()
        else:
            samples = yield from self._next_segments()
        samples = samples[:, : self._left]
        if not np.isfinite(samples).all():
            raise BitstreamError("it decodes to samples that are not finite")
        self._left -= samples.shape[1]
        return samples

    def _next_of_stream(self) -> Steps[np.ndarray]:
        engine = self._codec.engine
        works: list[Work] = []
        while self._frames_left and len(works) < self._blocks:
            frames = min(self._frames_left, engine.block_frames)
            self._frames_left -= frames
            codes = yield from self._codes(frames)
            item = DecodeItem(EncodedBlock(codes), last=not self._frames_left, state=self._state)
            works.append(self._work(item))
        if self._lm is None:  # whose codes take longer than what is made of them
            self._blocks = min(2 * self._blocks, engine.blocks_at_once)
        return np.concatenate((yield InOrder(works)), axis=1)

    def _next_segments(self) -> Steps[np.ndarray]:
        # With a language model, codes take longer than what is made of them: no need to wait.
        together = self._codec.engine.max_batch if self._lm is None else 1
        ahead = list(islice(self._segments, together))
        items = []
        for segment in ahead:
            block = yield from self._read_segment(segment)
            items.append(DecodeItem(block, last=True))
        decoded = yield [self._work(item) for item in items]
        joined = []
        for segment, samples in zip(ahead, decoded, strict=True):
            last = segment.offset + self._overlap.stride >= self._header.audio_length
            joined.append(self._overlap.push(torch.from_numpy(samples), last).numpy())
        return np.concatenate(joined, axis=1)

    def _read_segment(self, segment: Segment) -> Steps[EncodedBlock]:
        scale = read_scale(self._payload)
        codes = yield from self._codes(segment.frames)
        self._unpacker = BitUnpacker(self._codec.config.bits_per_codebook)
        self._lm_decoder = None
        return EncodedBlock(codes, scale)

    def _codes(self, frames: int) -> Steps[np.ndarray]:
        """The next codes `[K, frames]` of the segment."""
        codebooks = self._header.num_codebooks
        if self._lm is None:
            count = frames * codebooks
            self._unpacker.feed(read_exactly(self._payload, self._unpacker.missing(count)))
            return self._unpacker.pull(count).reshape(frames, codebooks).T
        if self._lm_decoder is None:
            self._lm_decoder = LMDecoder(self._lm, codebooks, self._payload)
        cost = frames / self._codec.config.frame_rate
        results = yield [Work(self._codec.lm_decode_task, (self._lm_decoder, frames), cost)]
        codes: np.ndarray = results[0]
        return codes

    def _work(self, item: DecodeItem) -> Work:
        cost = item.block.codes.shape[1] / self._codec.config.frame_rate
        return Work(self._codec.decode_task, item, cost)
