"""Version 1 files to samples: all of them, or a part, which equals the same part of the whole.

The decoder of the causal model remembers all it has decoded, so a part could only be decoded from
the beginning. In version 1 it therefore begins anew every `RESTART` frames, after `PREROLL` frames
whose samples are dropped, and the audio goes over from the old stream to the new one within
`FADE` frames:

    frames   ............... RESTART ......................... 2 * RESTART ...
    old      ----------------------|==|
    new               |~~~ PREROLL |==|---------------------------------|==|
                       (dropped)    fade

Segments of the other model only overlap.
"""

from collections.abc import AsyncGenerator
from contextlib import aclosing

import numpy as np

from ..config import ModelConfig
from ..engine import DecodeItem, EncodedBlock, OverlapAdd, StreamState
from .chunk_reader import ChunkReader, Chunks
from .codec import Codec
from .decompressing import with_gain
from .work import INLINE, Runner, Work

RESTART = 4560
"""Frames: 60.8 s."""
PREROLL = 304
"""Frames: 4 s, after which what came before is hardly heard any more."""
FADE = 2
"""Frames: 27 ms."""


def decoded_from(config: ModelConfig, start: int) -> int:
    """The first sample that is decoded for those from `start` on, about."""
    if config.segment_length is not None:
        return max(0, start - config.segment_length)
    begin = _begins(start // config.hop_length)
    return max(0, begin - PREROLL) * config.hop_length


def _begins(frame: int) -> int:
    """The frame at which the stream that a frame needs begins."""
    return max(0, frame - FADE) // RESTART * RESTART


class ChunkDecompressor:
    """The samples of a version 1 file. `runner` runs the networks."""

    def __init__(self, codec: Codec, file: Chunks, runner: Runner = INLINE):
        """Raises as `ChunkReader`."""
        self._codec = codec
        self._file = file
        self._runner = runner
        self._reader = ChunkReader(codec, file, runner)

    async def blocks(self, start: int = 0, end: int | None = None) -> AsyncGenerator[np.ndarray]:
        """The samples float32 `[C, n]` from sample `start` up to `end`, block by block.

        Raises `ValueError` for a part that is not there, `BitstreamError` for damage.
        """
        end = self._file.samples if end is None else end
        if not 0 <= start < end <= self._file.samples:
            raise ValueError(f"samples {start} to {end} of {self._file.samples}")
        make = self._of_stream if self._codec.config.causal else self._of_segments
        async with aclosing(make(start)) as decoded:
            async for place, samples in decoded:
                part = samples[:, max(0, start - place) : end - place]
                if part.shape[1]:
                    yield with_gain(part, self._file.header.gain)
                if place + samples.shape[1] >= end:
                    return

    async def _of_stream(self, start: int) -> AsyncGenerator[tuple[int, np.ndarray]]:
        """Blocks with their places, from `start` or before it to the end."""
        hop = self._codec.config.hop_length
        frames = self._codec.config.frames(self._file.samples)
        fading = np.zeros((self._codec.config.channels, 0), np.float32)
        for begin in range(_begins(start // hop), frames, RESTART):
            stop = min(frames, begin + RESTART)
            place = begin * hop
            async with aclosing(self._stream(begin, min(frames, stop + FADE))) as stream:
                async for samples in stream:
                    samples, fading = faded(fading, samples, place - begin * hop, FADE * hop)
                    ready = max(0, min(samples.shape[1], stop * hop - place))
                    if stop < frames:
                        fading = np.concatenate([fading, samples[:, ready:]], axis=1)
                    else:
                        ready = samples.shape[1]
                    if ready:
                        yield place, samples[:, :ready]
                    place += ready

    async def _stream(self, begin: int, stop: int) -> AsyncGenerator[np.ndarray]:
        """The samples of frames `begin` to `stop`, by a decoder that begins `PREROLL` before."""
        engine, hop = self._codec.engine, self._codec.config.hop_length
        total = self._codec.config.frames(self._file.samples)
        state = StreamState()
        at = max(0, begin - PREROLL)
        dropped = (begin - at) * hop
        left = self._file.samples - begin * hop
        at_once = 1
        while at < stop:
            works: list[Work] = []
            while at < stop and len(works) < at_once:
                some = min(stop, at + engine.block_frames)
                block = EncodedBlock(await self._reader.frames(at, some))
                works.append(self._work(DecodeItem(block, last=some == total, state=state)))
                at = some
            at_once = min(2 * at_once, engine.blocks_at_once)
            decoded = await self._runner.run(works, in_order=True)
            samples = np.concatenate(decoded, axis=1)
            skipped = min(dropped, samples.shape[1])
            dropped -= skipped
            samples = samples[:, skipped : skipped + left]
            left -= samples.shape[1]
            if samples.shape[1]:
                yield samples

    async def _of_segments(self, start: int) -> AsyncGenerator[tuple[int, np.ndarray]]:
        """As `_of_stream`."""
        config, total = self._codec.config, self._file.samples
        stride, chunk = config.segment_stride or 1, self._file.header.chunk
        index = max(0, start // stride - 1)  # which segment; the one before `start` reaches into it
        first = config.frames(min(config.segment_length or total, total)) * config.hop_length
        overlap = OverlapAdd(stride, first)
        number, at_once = index // chunk, 1
        while number < len(self._file):
            works: list[Work] = []
            while number < len(self._file) and len(works) < at_once:
                for block in await self._reader.segments(index + len(works)):
                    works.append(self._work(DecodeItem(block, last=True)))
                number += 1
            at_once = min(2 * at_once, self._codec.engine.max_batch)
            decoded = await self._runner.run(works)
            for left, samples in zip(range(len(decoded) - 1, -1, -1), decoded, strict=True):
                place = index * stride
                index += 1
                joined = overlap.push(samples, last=not left and number == len(self._file))
                yield place, joined[:, : total - place]

    def _work(self, item: DecodeItem) -> Work:
        cost = item.block.codes.shape[1] / self._codec.config.frame_rate
        return Work(self._codec.decode_task, item, cost)


def faded(
    old: np.ndarray, new: np.ndarray, place: int, length: int
) -> tuple[np.ndarray, np.ndarray]:
    """`new`, `place` samples after a restart, with what is left of the old stream fading out over
    `length` samples; and what is left then."""
    some = min(old.shape[1], new.shape[1])
    if not some:
        return new, old
    weight = (np.arange(place, place + some, dtype=np.float32) + 0.5) / np.float32(length)
    mixed = old[:, :some] * (1 - weight) + new[:, :some] * weight
    return np.concatenate([mixed, new[:, some:]], axis=1), old[:, some:]
