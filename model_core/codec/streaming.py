"""Live version 1 streams of a causal model to samples, chunk by chunk as they come."""

from collections.abc import Sequence

import numpy as np

from ..ecdc.v1 import Chunk, Layout
from ..engine import DecodeItem, EncodedBlock, StreamState
from .chunk_reader import ChunkDecoder
from .codec import Codec
from .compressing import FIRST_STEP
from .decompressing import with_gain
from .seeking import FADE, PREROLL, RESTART, faded
from .work import INLINE, Runner, Work


class StreamDecompressor:
    """Chunks in, samples out, as soon as each is there. `runner` runs the networks.

    The samples of a stream from its start are those of `ChunkDecompressor`, which begins anew every
    `RESTART` frames: so here a second decoder runs along for `PREROLL` frames before each of these
    places, and the audio goes over to it within `FADE` frames. A stream may begin with a later
    chunk; its first samples then lack what came before.
    """

    def __init__(self, codec: Codec, layout: Layout, runner: Runner = INLINE):
        """Raises as `ChunkDecoder`, and `ValueError` for a model that is not causal."""
        if not codec.config.causal:
            raise ValueError(f"{codec.config.name} is not causal: it has no live streams")
        self._codec = codec
        self._layout = layout
        self._runner = runner
        self._chunks = ChunkDecoder(codec, layout, runner)
        self._decoder = _FrameDecoder(codec, runner)
        self._next: _FrameDecoder | None = None  # runs along before a restart
        self._frame: int | None = None  # of the next codes
        self._left = 0
        self.samples = 0
        """Given so far."""

    async def push(self, chunks: Sequence[Chunk]) -> np.ndarray:
        """The samples float32 `[C, n]` that can be had with these chunks, which follow one another.
        Raises `BitstreamError`."""
        parts = [np.zeros((self._codec.config.channels, 0), np.float32)]
        for chunk, codes in zip(chunks, await self._chunks.codes(chunks), strict=True):
            if self._frame is None:
                self._frame = chunk.start // self._codec.config.hop_length
            self._left += chunk.samples
            parts.append(await self._decode(codes, self._frame))
            self._frame += codes.shape[1]
        return self._given(np.concatenate(parts, axis=1))

    async def finish(self) -> np.ndarray:
        """No more chunks come; returns the last samples. Raises `BitstreamError`."""
        return self._given(await self._decoder.finish())

    async def _decode(self, codes: np.ndarray, frame: int) -> np.ndarray:
        """The samples of codes `[K, T]` that begin with `frame`, cut where decoders change."""
        parts: list[np.ndarray] = []
        while codes.shape[1]:
            place = frame % RESTART
            begun = frame >= RESTART
            if place == RESTART - PREROLL:
                self._next = _FrameDecoder(self._codec, self._runner)
            borders = (FADE if begun else 0, RESTART - PREROLL, RESTART)
            some = min(next(border for border in borders if border > place) - place, codes.shape[1])
            parts.append(await self._decode_some(codes[:, :some], place if begun else FADE))
            codes, frame = codes[:, some:], frame + some
        return np.concatenate(parts, axis=1)

    async def _decode_some(self, codes: np.ndarray, place: int) -> np.ndarray:
        """Of codes between two borders, `place` frames after the last restart."""
        samples = await self._decoder.push(codes)
        if self._next is None:
            return samples
        warm = await self._next.push(codes)
        if place >= FADE:
            return samples
        hop = self._codec.config.hop_length
        mixed, _ = faded(samples, warm, place * hop, FADE * hop)
        if place + codes.shape[1] == FADE:
            self._decoder, self._next = self._next, None
        return mixed

    def _given(self, samples: np.ndarray) -> np.ndarray:
        """`samples`, without what is past the end of the audio."""
        samples = samples[:, : self._left]
        self._left -= samples.shape[1]
        self.samples += samples.shape[1]
        return with_gain(samples, self._layout.header.gain)


class _FrameDecoder:
    """One decoder from any frame on. The first `FIRST_STEP` frames are decoded together."""

    def __init__(self, codec: Codec, runner: Runner):
        self._codec = codec
        self._runner = runner
        self._state = StreamState()
        self._begun = False
        self._waiting: list[np.ndarray] = []

    async def push(self, codes: np.ndarray) -> np.ndarray:
        """The samples `[C, n]` of codes `[K, T]`, or none yet."""
        self._waiting.append(codes)
        count = sum(codes.shape[1] for codes in self._waiting)
        if not self._begun and count < FIRST_STEP:
            return np.zeros((self._codec.config.channels, 0), np.float32)
        self._begun = True
        return await self._run(last=False)

    async def finish(self) -> np.ndarray:
        """The samples of what waits, if anything does."""
        if not self._waiting:
            return np.zeros((self._codec.config.channels, 0), np.float32)
        return await self._run(last=True)

    async def _run(self, last: bool) -> np.ndarray:
        codes = np.concatenate(self._waiting, axis=1)
        self._waiting.clear()
        size, count = self._codec.engine.block_frames, codes.shape[1]
        works: list[Work] = []
        at = 0
        while at < count:
            # The first block is not a short one.
            end = count if count - at < size + FIRST_STEP else at + size
            block = EncodedBlock(np.ascontiguousarray(codes[:, at:end]))
            item = DecodeItem(block, last and end == count, self._state)
            cost = (end - at) / self._codec.config.frame_rate
            works.append(Work(self._codec.decode_task, item, cost))
            at = end
        return np.concatenate(await self._runner.run(works, in_order=True), axis=1)
