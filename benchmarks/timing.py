"""Times functions in turns, so that other load on the machine affects all of them."""

import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Self

import numpy as np


def take_turns(
    jobs: Mapping[str, Callable[[], object]], runs: int, budget: float
) -> dict[str, list[float]]:
    """Seconds of each run of each job: a, b, c, a, b, c …

    It stops after `runs` rounds, or after the round that exceeds `budget` seconds. The first round
    counts too (the caller warms up).
    """
    times: dict[str, list[float]] = {name: [] for name in jobs}
    end = time.perf_counter() + budget
    for _ in range(runs):
        for name, job in jobs.items():
            began = time.perf_counter()
            job()
            times[name].append(time.perf_counter() - began)
        if time.perf_counter() > end:
            break
    return times


def paired_ratio(theirs: Sequence[float], ours: Sequence[float]) -> float:
    """How many times faster ours is: the median over the rounds."""
    return statistics.median(t / o for t, o in zip(theirs, ours, strict=True))


@dataclass(frozen=True)
class Percentiles:
    """Median, 99th percentile and maximum, in seconds."""

    p50: float
    p99: float
    most: float

    @classmethod
    def of(cls, times: Sequence[float]) -> Self:
        """Linear between the two nearest ranks. Raises `ValueError` if `times` is empty."""
        if not times:
            raise ValueError("there are no times")
        p50, p99 = np.percentile(times, [50, 99])
        return cls(float(p50), float(p99), max(times))
