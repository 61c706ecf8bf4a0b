"""Sequences of codes to train a language model."""

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from .codes import CodeStreams

IGNORED = -1  # a target past the end of its stream


@dataclass(frozen=True)
class LMBatch:
    """B sequences of T frames of K codebooks.

    `inputs` is the input of `LMModel`: the previous frame plus one; 0 before a stream's first.
    """

    bandwidth: float  # kbps
    inputs: Tensor  # [B, K, T]
    targets: Tensor  # [B, K, T]
    offsets: Tensor  # [B], the position of the first frame; 0 is the start of a stream

    def to(self, device: torch.device) -> "LMBatch":
        return LMBatch(
            self.bandwidth,
            self.inputs.to(device, non_blocking=True),
            self.targets.to(device, non_blocking=True),
            self.offsets.to(device, non_blocking=True),
        )


class LMSampler:
    """Draws sequences of `frames` frames; a stream is drawn in proportion to its length.

    A sequence at the start of its stream has offset 0, as in coding. One from the middle gets a
    random offset up to `max_offset`, to learn long recordings from short ones (paper section 3.3).
    If all streams are shorter than `frames`, like the segments at 48 kHz, a batch has more and
    shorter sequences. Batches depend on (seed, rank, step) alone.
    """

    def __init__(
        self,
        streams: CodeStreams,
        frames: int,
        bandwidths: dict[float, tuple[int, float]],
        max_offset: int,
        seed: int,
        rank: int = 0,
    ):
        """`bandwidths`: kbps -> number of codebooks and how often it is drawn."""
        self.streams = streams
        self.frames = min(frames, int(streams.lengths.max()))
        self.sequences_for_one = max(1, round(frames / self.frames))
        self.bandwidths = bandwidths
        self.max_offset = max_offset
        self.seed = seed
        self.rank = rank
        self._chances = streams.lengths / streams.lengths.sum()

    def batch(self, step: int, size: int) -> LMBatch:
        """`size` sequences (of `frames` frames) with one bandwidth, the same on all ranks."""
        kbps, codebooks = self._bandwidth(step)
        rng = np.random.default_rng([self.seed, 1 + self.rank, step])
        count = size * self.sequences_for_one
        inputs = np.zeros((count, codebooks, self.frames), np.int64)
        targets = np.full((count, codebooks, self.frames), IGNORED, np.int64)
        offsets = np.zeros(count, np.int64)
        for b, index in enumerate(rng.choice(len(self._chances), count, p=self._chances)):
            stream = self.streams.stream(index)[:codebooks]
            start = self._start(rng, stream.shape[1])
            part = stream[:, start : start + self.frames]
            before = stream[:, max(0, start - 1) : start + part.shape[1] - 1] + 1
            targets[b, :, : part.shape[1]] = part
            inputs[b, :, part.shape[1] - before.shape[1] : part.shape[1]] = before
            if start:
                offsets[b] = rng.integers(1, max(2, self.max_offset + 1))
        return LMBatch(
            kbps, torch.from_numpy(inputs), torch.from_numpy(targets), torch.from_numpy(offsets)
        )

    def _bandwidth(self, step: int) -> tuple[float, int]:
        rng = np.random.default_rng([self.seed, 0, step])
        shares = np.array([share for _, share in self.bandwidths.values()])
        kbps = list(self.bandwidths)[rng.choice(len(shares), p=shares / shares.sum())]
        return kbps, self.bandwidths[kbps][0]

    def _start(self, rng: np.random.Generator, length: int) -> int:
        """A first frame; 0 as often as in consecutive sequences that cover the stream."""
        latest = length - self.frames
        return max(0, int(rng.integers(-self.frames, latest + 1))) if latest > 0 else 0
