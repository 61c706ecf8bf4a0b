"""How far the figures of a report hold beyond its clips: 95 % intervals by the bootstrap.

The clips of a row are drawn again, as many as there are and with repetition, and its figure is
computed anew; the interval goes from the 2.5th to the 97.5th percentile of many such figures (Efron
and Tibshirani, An Introduction to the Bootstrap, chapter 13). Two contenders are compared on the
same drawn clips, so that what makes a clip hard for both does not count. With few clips, say fewer
than ten, intervals are too narrow.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any, Protocol

import numpy as np

from .report import Measurement, Report, known_scores

LEVEL = 0.95
RESAMPLES = 2000
_SEED = 0


class Figure(Protocol):
    """A function that makes one number of many, along an axis of an array."""

    def __call__(self, values: Any, /, *, axis: int) -> Any: ...


FIGURES: dict[str, Figure] = {
    "si_snr_db": np.median,
    "mel_db": np.mean,
    "pesq": np.mean,
    "stoi": np.mean,
    "visqol": np.mean,
}
"""How a row makes its figure of the scores of its clips, by the name of both."""


@dataclass(frozen=True)
class Estimate:
    """A figure and its interval."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class Difference:
    """By how much the figures of `contender` are above those of `other`, on `clips` that both have,
    of one kind at one rate (asked, in kbps). `figures` is by the names of `FIGURES`."""

    category: str
    kbps: float
    contender: str
    other: str
    clips: int
    figures: dict[str, Estimate]


def interval(values: Sequence[float], figure: Figure) -> Estimate | None:
    """The figure of `values`, one for each clip; None for fewer than two."""
    if len(values) < 2:
        return None
    scores = np.asarray(values, np.float64)
    drawn = figure(scores[_draws(len(scores))], axis=1)
    return _estimate(figure(scores, axis=0), drawn)


def paired(first: Sequence[float], second: Sequence[float], figure: Figure) -> Estimate | None:
    """The figure of `first` less that of `second`, values of the same clips in the same order; None
    for fewer than two."""
    if len(first) < 2:
        return None
    pair = np.asarray(first, np.float64), np.asarray(second, np.float64)
    drawn = [figure(scores[_draws(len(first))], axis=1) for scores in pair]
    whole = [figure(scores, axis=0) for scores in pair]
    return _estimate(whole[0] - whole[1], drawn[0] - drawn[1])


def of_row(measurements: Sequence[Measurement]) -> dict[str, Estimate]:
    """The figures of a row that have an interval."""
    found = {}
    for name, figure in FIGURES.items():
        estimate = interval(known_scores(measurements, name), figure)
        if estimate is not None:
            found[name] = estimate
    return found


def differences(report: Report) -> Iterator[Difference]:
    """The first contender compared with every other at the same rate, in the order of the rows."""
    groups = report.groups
    for (category, kbps, place), others in groups.items():
        own = groups.get((category, kbps, 0), [])
        if place == 0 or not own:
            continue
        by_clip = {m.clip: m for m in others}
        pairs = [(m, by_clip[m.clip]) for m in own if m.clip in by_clip]
        yield Difference(
            category,
            kbps,
            report.contenders[0],
            report.contenders[place],
            len(pairs),
            _of_pairs(pairs),
        )


def _of_pairs(pairs: Sequence[tuple[Measurement, Measurement]]) -> dict[str, Estimate]:
    found = {}
    for name, figure in FIGURES.items():
        scores = [(getattr(a.scores, name), getattr(b.scores, name)) for a, b in pairs]
        known = [(a, b) for a, b in scores if a is not None and b is not None]
        estimate = paired([a for a, _ in known], [b for _, b in known], figure)
        if estimate is not None:
            found[name] = estimate
    return found


@lru_cache(maxsize=4)
def _draws(clips: int) -> np.ndarray:
    """Which clips are drawn each time, integers `[RESAMPLES, clips]`; always the same."""
    return np.random.default_rng(_SEED).integers(clips, size=(RESAMPLES, clips))


def _estimate(value: float, drawn: np.ndarray) -> Estimate:
    low, high = np.quantile(drawn, [(1 - LEVEL) / 2, (1 + LEVEL) / 2])
    return Estimate(float(value), float(low), float(high))
