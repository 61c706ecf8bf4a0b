"""Random training clips, of which each step can be drawn again; validation clips."""

import hashlib
from collections import Counter
from collections.abc import Iterator, Mapping

import numpy as np
import torch
from torch import Tensor

from ...errors import SettingsError, TrainingDataError
from .augment import Augmentation, uniform
from .cache import AudioCache, Recording
from .draw import MUSIC, TRIES

AUDIBLE = 1e-3  # RMS (-60 dBFS) under which a clip is drawn again


class _Pool:
    """Recordings of one category, drawn in proportion to their length."""

    def __init__(self, recordings: list[Recording]):
        self.recordings = recordings
        self.ends = np.cumsum([r.length for r in recordings], dtype=np.int64)

    def draw(self, clip: int, generator: torch.Generator) -> tuple[Recording, int]:
        """A recording and an offset in it, in samples."""
        place = int(torch.randint(int(self.ends[-1]), (), generator=generator))
        recording = self.recordings[int(np.searchsorted(self.ends, place, side="right"))]
        room = max(0, recording.length - clip)
        return recording, int(torch.randint(room + 1, (), generator=generator))


class ClipSampler:
    """Draws batches `[B, C, T]` of random clips of `clip` samples from the training recordings.

    `weights` is how often each category is drawn (categories missing in the cache are ignored;
    empty: in proportion to their length). Batches are a pure function of `(seed, rank, step)`: an
    exact resume needs no saved state, and every process draws its own. Without `augmentation`,
    clips are unchanged. Raises `TrainingDataError` if nothing can be drawn, `SettingsError` for a
    negative weight. Source: paper sections 4.1 and 4.2.
    """

    def __init__(
        self,
        cache: AudioCache,
        clip: int,
        weights: Mapping[str, float],
        seed: int,
        rank: int = 0,
        augmentation: Augmentation | None = None,
    ):
        self.cache, self.clip, self.seed, self.rank = cache, clip, seed, rank
        self.augmentation = augmentation
        self.weights = weights_of(cache, clip, weights)
        self._pools = {category: _Pool(cache.of("train", category)) for category in self.weights}

    def batch(self, step: int, size: int) -> Tensor:
        """Clips `[size, C, clip]` of a step; clip `i` does not depend on `size`."""
        return torch.stack([self._clip(self._generator(step, i)) for i in range(size)])

    def _generator(self, *place: int) -> torch.Generator:
        name = ",".join(str(value) for value in (self.seed, self.rank, *place))
        digest = hashlib.blake2b(name.encode(), digest_size=7).digest()
        return torch.Generator().manual_seed(int.from_bytes(digest, "big"))

    def _clip(self, generator: torch.Generator) -> Tensor:
        settings = self.augmentation
        if settings is None:
            return self._source(self._category(generator), generator)
        count = settings.draw_sources(generator)
        categories = [self._category(generator, spoken=count > 2) for _ in range(count)]
        clip = settings.mix([self._source(c, generator) for c in categories], generator)
        if categories != [MUSIC] and self.cache.sample_rate is not None:
            clip = settings.reverberate(clip, self.cache.sample_rate, generator)
        clip = settings.level(clip, generator)
        return settings.wear(clip, self.cache.sample_rate, generator)

    def _category(self, generator: torch.Generator, spoken: bool = False) -> str:
        """A category by its weight; `spoken` excludes music if there is anything else."""
        weights = {c: w for c, w in self.weights.items() if not (spoken and c == MUSIC)}
        weights = weights or self.weights
        place = uniform(0, sum(weights.values()), generator)
        for category, weight in weights.items():
            place -= weight
            if place < 0:
                return category
        return category

    def _source(self, category: str, generator: torch.Generator) -> Tensor:
        """A clip `[C, clip]` that is not silent, if a few draws find one."""
        for _ in range(TRIES):
            recording, offset = self._pools[category].draw(self.clip, generator)
            clip = self.cache.read(recording, offset, self.clip)
            if float(clip.square().mean()) > AUDIBLE**2:
                break
        return clip


def weights_of(cache: AudioCache, clip: int, weights: Mapping[str, float]) -> dict[str, float]:
    """How often each category of the cache is drawn, for clips of `clip` samples.

    Raises what `ClipSampler` raises.
    """
    if any(weight < 0 for weight in weights.values()) or clip < 1:
        raise SettingsError(f"weights {dict(weights)} of clips of {clip} samples cannot be")
    seconds: Counter[str] = Counter()
    for recording in cache.of("train"):
        seconds[recording.category] += recording.length
    wanted = weights or seconds
    there = {c: float(wanted[c]) for c in sorted(seconds) if wanted.get(c, 0) > 0}
    if not there:
        raise TrainingDataError(
            f"nothing to train on: the cache has training recordings of "
            f"{sorted(seconds) or 'nothing'}, asked for {sorted(wanted)}"
        )
    return there


def validation_clips(
    cache: AudioCache, seconds: float, limit: int | None = None
) -> Iterator[tuple[Recording, Tensor]]:
    """The middle `seconds` of every validation recording, `[C, n]`, always the same.

    Shorter recordings are used whole, silent ones are skipped; `limit` is the most of a category,
    spread evenly over it. Raises `TrainingDataError` if the cache's rate is unknown.
    """
    if cache.sample_rate is None:
        raise TrainingDataError("the sample rate of the cache is not known: give it to AudioCache")
    wanted = round(seconds * cache.sample_rate)
    for category in sorted({r.category for r in cache.of("valid")}):
        recordings = cache.of("valid", category)
        count = len(recordings) if limit is None else min(limit, len(recordings))
        for index in range(count):
            recording = recordings[index * len(recordings) // count]
            length = min(wanted, recording.length)
            clip = cache.read(recording, (recording.length - length) // 2, length)
            if float(clip.square().mean()) > AUDIBLE**2:
                yield recording, clip
