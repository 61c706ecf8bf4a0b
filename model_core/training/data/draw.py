"""The random draws for a batch of clips, made before any sample is read.

They depend only on a list of integers (seed, rank, step), so a batch can be drawn again.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from .augment import Augmentation
from .cache import Recording

MUSIC = "music"
TRIES = 4  # places tried for a source that is not silent

Ints = npt.NDArray[np.int64]
Floats = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Rooms:
    """The clips of a batch with reverberation, and their rooms: R of each."""

    rows: Ints  # which clips
    rt60: Floats  # s, in which the sound falls by 60 dB
    direct_db: Floats  # direct sound relative to the room's
    delay: Ints  # samples before the room's sound


@dataclass(frozen=True)
class Wear:
    """Which clips are worn, and how: see `augment`."""

    noise: tuple[Ints, Floats]  # dB relative to the clip
    bands: tuple[Ints, Floats]  # Hz
    clipping: tuple[Ints, Floats]  # dB of the limit, relative to the peak
    offsets: tuple[Ints, Floats]


@dataclass(frozen=True)
class Draw:
    """A batch of B clips made of S sources; source b < B is the first of clip b.

    `further` describes the other sources: its n-th entry holds the clips with an n-th further
    source, and its level in dB relative to the clip's first source.
    """

    starts: Ints  # [S, TRIES], samples of the cache
    lengths: Ints  # [S, TRIES], samples from there to the recording's end
    further: list[tuple[Ints, Floats]]
    rooms: Rooms
    factors: Floats  # [B], of the level, negative for inverted polarity
    wear: Wear


class Drawer:
    """Draws clips of `clip` samples from `recordings`, the categories by their `weights`.

    Within a category, recordings are drawn in proportion to their length. Without a `sample_rate`
    (Hz) there are no rooms.
    """

    def __init__(
        self,
        recordings: Sequence[Recording],
        clip: int,
        weights: Mapping[str, float],
        augmentation: Augmentation,
        sample_rate: int | None,
    ):
        self.clip, self.augmentation, self.sample_rate = clip, augmentation, sample_rate
        self._categories = sorted(weights)
        ordered = [r for c in self._categories for r in recordings if r.category == c]
        self._starts = np.array([r.start for r in ordered], np.int64)
        self._lengths = np.array([r.length for r in ordered], np.int64)
        self._ends = self._lengths.cumsum()
        of = np.array([self._categories.index(r.category) for r in ordered])
        sizes = np.bincount(of, self._lengths, len(self._categories)).astype(np.int64)
        self._high = sizes.cumsum()  # ends of the categories in the concatenated samples
        self._low = self._high - sizes
        self._shares = _normed(np.array([weights[c] for c in self._categories]))
        spoken = self._shares * [c != MUSIC for c in self._categories]
        self._spoken_shares = _normed(spoken) if spoken.any() else self._shares

    def draw(self, seeds: Sequence[int], size: int) -> Draw:
        """A batch of `size` clips."""
        rng = np.random.default_rng(list(seeds))
        settings = self.augmentation
        chance = rng.random(size)
        counts = 1 + (chance < settings.three_sources + settings.two_sources)
        counts = counts + (chance < settings.three_sources)
        first = self._category(rng, counts > 2)
        categories, further = [first], []
        for number in (2, 3):
            rows = _rows(counts >= number)
            categories.append(self._category(rng, counts[rows] > 2))
            further.append((rows, _uniform(rng, settings.mix_db, len(rows))))
        starts, lengths = self._places(np.concatenate(categories), rng)
        music_alone = (counts == 1) & np.array([self._categories[c] == MUSIC for c in first])
        in_rooms = (rng.random(size) < settings.reverberation) & ~music_alone
        rooms = self._rooms(settings, _rows(in_rooms), rng)
        gain = _uniform(rng, settings.gain_db, size)
        signs = np.where(rng.random(size) < settings.inversion, -1, 1)
        quiet, low = _some(rng, settings.quiet, settings.quiet_db, size)
        gain[quiet] = low
        factors = (10 ** (gain / 20) * signs).astype(np.float32)
        band_limit = settings.band_limit if self.sample_rate is not None else 0.0
        wear = Wear(
            _some(rng, settings.noise, settings.noise_db, size),
            _some(rng, band_limit, settings.band_hz, size),
            _some(rng, settings.clipping, settings.clipping_db, size),
            _some(rng, settings.offset, settings.offset_between, size),
        )
        return Draw(starts, lengths, further, rooms, factors, wear)

    def _category(self, rng: np.random.Generator, spoken: npt.NDArray[np.bool_]) -> Ints:
        """The index of a category for each; where `spoken`, not music if there is another one."""
        place = rng.random(len(spoken))
        shares = np.where(spoken[:, None], self._spoken_shares, self._shares)
        index = (place[:, None] >= shares.cumsum(axis=1)).sum(axis=1)
        # A value that rounds to 1 belongs to the last category with a share.
        last = shares.shape[1] - 1 - (shares[:, ::-1] > 0).argmax(axis=1)
        return np.minimum(index, last)

    def _places(self, categories: Ints, rng: np.random.Generator) -> tuple[Ints, Ints]:
        shape = (len(categories), TRIES)
        place = rng.integers(self._low[categories][:, None], self._high[categories][:, None], shape)
        recording = np.searchsorted(self._ends, place, side="right")
        lengths = self._lengths[recording]
        offset = rng.integers(0, np.maximum(lengths - self.clip, 0) + 1)
        return self._starts[recording] + offset, np.minimum(lengths - offset, self.clip)

    def _rooms(self, settings: Augmentation, rows: Ints, rng: np.random.Generator) -> Rooms:
        if self.sample_rate is None:
            rows = rows[:0]
        delay = np.rint(_uniform(rng, (0.002, 0.02), len(rows)) * (self.sample_rate or 0))
        return Rooms(
            rows,
            _uniform(rng, settings.rt60, len(rows)),
            _uniform(rng, settings.direct_db, len(rows)),
            np.maximum(delay.astype(np.int64), 1),
        )


def _uniform(rng: np.random.Generator, between: tuple[float, float], count: int) -> Floats:
    return rng.uniform(*between, count).astype(np.float32)


def _some(
    rng: np.random.Generator, probability: float, between: tuple[float, float], size: int
) -> tuple[Ints, Floats]:
    """Which of `size` clips it happens to, and with what value."""
    rows = _rows(rng.random(size) < probability)
    return rows, _uniform(rng, between, len(rows))


def _rows(chosen: npt.NDArray[np.generic]) -> Ints:
    return np.flatnonzero(chosen).astype(np.int64)


def _normed(shares: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    return np.asarray(shares / shares.sum(), np.float64)
