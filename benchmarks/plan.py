"""The measurements of a run."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from model_core.config import CONFIGS

from .contenders import NAMES
from .macs import Direction

DIRECTIONS: tuple[Direction, ...] = ("encode", "decode")
DEFAULT_BANDWIDTH = 6.0
SWEEP_SECONDS = 10.0
"""The length at which every bandwidth is measured."""
STRESSED = ("encodec_24khz",)
"""By default only this model's service gets the soak test and the clips beside long files: these
take long and hardly depend on the model."""
Preset = Literal["quick", "full"]


@dataclass(frozen=True)
class Case:
    """One piece of work for every contender."""

    model: str
    direction: Direction
    seconds: float
    threads: int
    bandwidth: float  # kbps


@dataclass(frozen=True)
class Plan:
    """The choices of a run."""

    models: Sequence[str]
    directions: Sequence[Direction]
    lengths: Sequence[float]  # s
    threads: Sequence[int]
    bandwidths: Sequence[float] | None  # None: see `cases`
    contenders: Sequence[str]
    runs: int
    budget: float  # s per case, after which no further round starts
    lm_lengths: Sequence[float]  # s, coded with the language model
    clients: Sequence[int]
    duration: float  # s of posting
    long_lengths: Sequence[float]  # s, of files posted alone
    long_files: int  # posted at the same time, beside the clip
    long_seconds: float
    beside_clips: int
    soak_requests: int
    stressed_models: Sequence[str] = STRESSED
    backend: str | None = None
    sweep: bool = False

    def cases(self) -> Iterator[Case]:
        """By threads, then model: the models are built once for each.

        By default the bandwidth is 6 kbps and, in a sweep, also every other one on 10 s with the
        fewest threads. Bandwidths that a model does not have are skipped.
        """
        for threads in self.threads:
            for model in self.models:
                for direction in self.directions:
                    for seconds in self.lengths:
                        for bandwidth in self._bandwidths(model, seconds, threads):
                            yield Case(model, direction, seconds, threads, bandwidth)

    def _bandwidths(self, model: str, seconds: float, threads: int) -> Sequence[float]:
        offered = CONFIGS[model].target_bandwidths
        if self.bandwidths is not None:
            return [b for b in self.bandwidths if b in offered]
        if self.sweep and seconds == SWEEP_SECONDS and threads == min(self.threads):
            return offered
        return [DEFAULT_BANDWIDTH]


_QUICK = Plan(
    models=tuple(CONFIGS),
    directions=DIRECTIONS,
    lengths=(1.0, 10.0),
    threads=(1,),
    bandwidths=None,
    contenders=NAMES,
    runs=5,
    budget=20,
    lm_lengths=(1.0, 3.0),
    clients=(1, 8),
    duration=5,
    long_lengths=(10.0, 60.0),
    long_files=2,
    long_seconds=60,
    beside_clips=5,
    soak_requests=100,
)
_FULL = Plan(
    models=tuple(CONFIGS),
    directions=DIRECTIONS,
    lengths=(1.0, 10.0, 60.0, 3600.0),
    threads=(1, 2),
    bandwidths=None,
    contenders=NAMES,
    runs=9,
    budget=120,
    lm_lengths=(1.0, 3.0, 10.0),
    clients=(1, 8, 64),
    duration=30,
    long_lengths=(10.0, 60.0, 600.0, 3600.0),
    long_files=10,
    long_seconds=3600,
    beside_clips=30,
    soak_requests=1000,
    sweep=True,
)
PRESETS: dict[Preset, Plan] = {"quick": _QUICK, "full": _FULL}
