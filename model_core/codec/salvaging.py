"""What is left of a damaged file: all that is intact, in its place, with silence between.

    runs      |----------|           |----------------|
    silence              |...........|                |.....
              0       fade out    fade in         fade out

A run is decoded as if it were a whole file: at 24 kHz the decoder has heard nothing of what came
before the gap, at 48 kHz the segments at its edges have no neighbour to overlap with.
"""

from abc import ABC, abstractmethod
from array import array
from bisect import bisect_right
from collections.abc import AsyncGenerator, Iterator, Sequence
from contextlib import aclosing
from dataclasses import replace
from typing import BinaryIO

import numpy as np

from ..ecdc import Header, payload_bytes, segments
from ..ecdc.header import read_exactly
from ..ecdc.v1 import Chunk, Layout, Salvage
from ..ecdc.v1 import Header as ChunkedHeader
from ..ecdc.v1.chunk import read_chunk, read_head
from ..errors import BitstreamError, TruncatedBitstreamError
from .codec import Codec
from .decompressing import PayloadReader
from .seeking import ChunkDecompressor
from .stored import Described, Stored0
from .work import INLINE, Runner

FADE_SECONDS = 0.01
"""From sound to silence and back, within what is intact."""
_SILENCE_SECONDS = 1  # of a block
_LM_FRAMES = 15  # of a causal model's codes that are tried at once


class Salvaged(Described, ABC):
    """A file, damaged or not, that decodes as far as it is intact."""

    def __init__(
        self,
        header: Header | ChunkedHeader,
        size: int,
        runs: tuple[Sequence[int], Sequence[int]],
        samples: int | None,
    ):
        """`runs`: the samples of the audio that they begin with, and those that they end before.
        `samples`: None if the file does not say how long it is."""
        self.header = header
        self.size = size
        """Bytes of the whole file."""
        self._begins, self._ends = runs
        self.known_end = samples is not None
        """Whether the file says how long its audio is; else it may go on after what is left."""
        self.samples = max(samples or 0, self._ends[-1])
        """Of the audio, at the model's rate, silence and all."""
        self.lost = self.gaps = 0
        """Samples that are silent, and how many silences there are."""
        for begin, end in self._silences():
            self.lost += end - begin
            self.gaps += 1

    async def audio(
        self, codec: Codec, runner: Runner = INLINE, start: int = 0, end: int | None = None
    ) -> AsyncGenerator[np.ndarray]:
        """The samples float32 `[C, n]` from `start` up to `end`.

        Raises `BitstreamError` for what no damage makes: a forged file.
        """
        end = self.samples if end is None else end
        if not 0 <= start < end <= self.samples:
            raise ValueError(f"samples {start} to {end} of {self.samples}")
        place = start
        for number in range(bisect_right(self._ends, start), len(self._ends)):
            begin, stop = self._begins[number], min(end, self._ends[number])
            if begin >= end:
                break
            for silence in _silence(codec, begin - place):
                yield silence
            place = max(place, begin)
            run = self._run(number, codec, runner, place - begin, stop - begin)
            async with aclosing(run) as blocks:
                async for samples in blocks:
                    yield self._faded(codec, number, place, samples)
                    place += samples.shape[1]
        for silence in _silence(codec, end - place):
            yield silence

    @abstractmethod
    def _run(
        self, number: int, codec: Codec, runner: Runner, start: int, end: int
    ) -> AsyncGenerator[np.ndarray]:
        """The samples `[C, n]` of a run from `start` up to `end`, counted from its first one."""

    def _silences(self) -> Iterator[tuple[int, int]]:
        begin = 0
        for start, end in zip(self._begins, self._ends, strict=True):
            if start > begin:
                yield begin, start
            begin = end
        if self.samples > begin:
            yield begin, self.samples

    def _faded(self, codec: Codec, number: int, place: int, samples: np.ndarray) -> np.ndarray:
        """`samples` of run `number`, from sample `place` of the audio on; it fades where something
        is missing before or after it."""
        begin, end = self._begins[number], self._ends[number]
        length = round(FADE_SECONDS * codec.config.sample_rate)
        stop = place + samples.shape[1]
        fades_in = begin > 0 and place < begin + length
        fades_out = (end < self.samples or not self.known_end) and stop > end - length
        if not fades_in and not fades_out:
            return samples
        at = np.arange(place, stop) + 0.5
        weight = np.ones(len(at))
        if fades_in:
            weight *= np.minimum((at - begin) / length, 1)
        if fades_out:
            weight *= np.minimum((end - at) / length, 1)
        return samples * weight.astype(np.float32)


class SalvagedChunks(Salvaged):
    """A version 1 file whose intact chunks are known."""

    def __init__(self, fo: BinaryIO, enough: int | None = None):
        """Reads all of `fo`, or until there is more audio than `enough` samples: where that is
        refused anyway. Raises `BitstreamError` if the header or every chunk is damaged."""
        fo.seek(0)
        salvage = Salvage(fo)
        self._fo = fo
        self._layout = Layout(salvage.header)
        # Arrays, since a file can be made of little but short chunks with gaps between.
        self._places = array("Q")  # of the chunks, in the file
        self._sizes = array("Q")
        self._firsts = array("Q")  # of the runs, counted in chunks that are there
        self._find_runs(salvage, begins := array("Q"), ends := array("Q"), enough)
        if not ends:
            raise BitstreamError("no chunk of the file is intact")
        super().__init__(salvage.header, fo.seek(0, 2), (begins, ends), salvage.samples)

    def _find_runs(
        self, salvage: Salvage, begins: "array[int]", ends: "array[int]", enough: int | None
    ) -> None:
        """Fill the arrays. A chunk that contradicts those before (only a forged one does) is left
        out."""
        due, cut = -1, False
        for chunk in salvage:
            if not isinstance(chunk, Chunk):
                continue
            end = chunk.start + chunk.samples
            if chunk.number < due or (ends and (end != ends[-1] if cut else end < ends[-1])):
                continue
            if chunk.number != due:
                self._firsts.append(len(self._sizes))
                begins.append(chunk.start)
                ends.append(end)
            due, cut = chunk.number + 1, chunk.samples < self._layout.full
            ends[-1] = end
            place, size = salvage.place
            self._places.append(place)
            self._sizes.append(size)
            if enough is not None and end > enough:
                return

    def _run(
        self, number: int, codec: Codec, runner: Runner, start: int, end: int
    ) -> AsyncGenerator[np.ndarray]:
        first = self._firsts[number]
        after = self._firsts[number + 1] if number + 1 < len(self._firsts) else len(self._sizes)
        places, sizes = self._places[first:after], self._sizes[first:after]
        samples = self._ends[number] - self._begins[number]
        run = _ChunkRun(self._fo, self._layout, places, sizes, samples)
        return ChunkDecompressor(codec, run, runner).blocks(start, end)


class _ChunkRun:
    """Chunks that follow one another, numbered from 0 on, as of a whole file."""

    def __init__(
        self,
        fo: BinaryIO,
        layout: Layout,
        places: Sequence[int],
        sizes: Sequence[int],
        samples: int,
    ):
        self._fo = fo
        self.layout = layout
        self._places = places
        self._sizes = sizes
        self.samples = samples

    @property
    def header(self) -> ChunkedHeader:
        return self.layout.header

    def __len__(self) -> int:
        return len(self._sizes)

    def chunk(self, number: int) -> Chunk:
        """Raises `BitstreamError`."""
        self._fo.seek(self._places[number])
        data = read_exactly(self._fo, self._sizes[number])
        head = read_head(data, 0, self.layout)
        if head is None:
            raise BitstreamError("the file has changed while it was read")
        chunk, _ = read_chunk(data, head, self.layout)
        return replace(chunk, number=number, start=number * self.layout.stride)


class SalvagedPayload(Salvaged):
    """A version 0 file as far as its codes go. (What of them is changed, nothing tells.)"""

    def __init__(self, stored: Stored0, samples: int):
        """`samples` of them are there. Raises `TruncatedBitstreamError` for none."""
        if not samples:
            raise TruncatedBitstreamError("too few codes are there to decode anything")
        self._stored = replace(stored, header=replace(stored.header, audio_length=samples))
        super().__init__(stored.header, stored.size, ([0], [samples]), stored.samples)

    def _run(
        self, number: int, codec: Codec, runner: Runner, start: int, end: int
    ) -> AsyncGenerator[np.ndarray]:
        return self._stored.audio(codec, runner, start, end)


async def salvage_payload(
    codec: Codec, stored: Stored0, runner: Runner = INLINE
) -> SalvagedPayload:
    """A version 0 file. With a language model all codes are decoded, to see how far they go; at
    48 kHz only whole segments count then.

    Raises `TruncatedBitstreamError` if there are none, `WeightsUnavailableError` for want of the
    language model.
    """
    if stored.lm:
        return SalvagedPayload(stored, await _decodable(codec, stored, runner))

    def needed(samples: int) -> int:
        return payload_bytes(codec.config, replace(stored.header, audio_length=samples))

    lengths = range(1, stored.samples + 1)
    return SalvagedPayload(stored, bisect_right(lengths, stored.payload_bytes, key=needed))


async def _decodable(codec: Codec, stored: Stored0, runner: Runner) -> int:
    """Samples of which the language model can decode the codes."""
    config, samples = codec.config, 0
    stored.payload.seek(stored.begin)
    reader = PayloadReader(codec, stored.header, stored.payload, runner)
    try:
        if config.segment is not None:
            for segment in segments(config, stored.samples):
                await reader.segment(segment)
                samples = min(stored.samples, segment.offset + (config.segment_stride or 0))
            return samples
        while samples < stored.samples:
            frames = min(_LM_FRAMES, config.frames(stored.samples - samples))
            await reader.codes(frames)
            samples = min(stored.samples, samples + frames * config.hop_length)
    except BitstreamError:
        pass
    return samples


def _silence(codec: Codec, samples: int) -> Iterator[np.ndarray]:
    """Blocks `[C, n]`."""
    most = _SILENCE_SECONDS * codec.config.sample_rate
    zeros = np.zeros((codec.config.channels, min(most, max(samples, 0))), np.float32)
    for done in range(0, samples, most):
        yield zeros[:, : samples - done]
