"""Training clips from a cache: all recordings decoded once into one int16 array.

A cache folder holds `audio.npy`, int16 `[C, N]`, and `index.json`, a list of recordings with
their place in it.
"""

import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from torch import Tensor


@dataclass(frozen=True)
class Recording:
    """Where a recording lies in the cache, in samples."""

    file: str
    category: str
    split: str  # "train" or "valid"
    start: int
    length: int


class AudioCache:
    """Reads clips `[C, T]` from a cache folder."""

    def __init__(self, folder: Path):
        self.audio = np.load(folder / "audio.npy", mmap_mode="r")
        entries = json.loads((folder / "index.json").read_text())
        self.recordings = [Recording(**entry) for entry in entries]

    def read(self, recording: Recording, offset: int, length: int) -> Tensor:
        """`length` samples from `offset`, as float32 in [-1, 1), zeros past the end."""
        stop = min(offset + length, recording.length)
        part = self.audio[:, recording.start + offset : recording.start + stop]
        clip = torch.from_numpy(part.astype(np.float32) / 32768)
        return torch.nn.functional.pad(clip, (0, length - clip.shape[-1]))


class ClipSampler:
    """Draws batches `[B, C, T]` of random clips with random gain, polarity and mixing.

    `weights` gives how often each category is drawn; a recording is drawn in proportion to its
    length. Source: paper section 4.1 (mixing of sources, gains of -10 to 6 dB).
    """

    def __init__(
        self, cache: AudioCache, clip: int, weights: dict[str, float], generator: torch.Generator
    ):
        self.cache = cache
        self.clip = clip
        self.generator = generator
        self.pools = {
            category: [r for r in cache.recordings if r.split == "train" and r.category == category]
            for category in weights
        }
        self.categories = [c for c in weights if self.pools[c]]
        self.weights = torch.tensor([weights[c] for c in self.categories])
        self.lengths = {
            c: torch.tensor([float(r.length) for r in self.pools[c]]) for c in self.categories
        }

    def _uniform(self, low: float, high: float) -> float:
        return float(torch.rand((), generator=self.generator)) * (high - low) + low

    def _pick(self, weights: Tensor) -> int:
        return int(torch.multinomial(weights, 1, generator=self.generator))

    def _clip(self) -> Tensor:
        category = self.categories[self._pick(self.weights)]
        recording = self.pools[category][self._pick(self.lengths[category])]
        offset = int(self._uniform(0, max(1, recording.length - self.clip + 1)))
        return self.cache.read(recording, offset, self.clip)

    def batch(self, size: int) -> Tensor:
        clips = []
        for _ in range(size):
            clip = self._clip()
            if self._uniform(0, 1) < 0.2:
                clip = clip + self._clip() * 10 ** (self._uniform(-15, 0) / 20)
            gain = 10 ** (self._uniform(-10, 6) / 20) * (1 if self._uniform(0, 1) < 0.5 else -1)
            clip = clip * gain
            clips.append(clip / max(1.0, float(clip.abs().max())))
        return torch.stack(clips)
