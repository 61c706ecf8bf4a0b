"""The stages, the important ones first, and how they share the time."""

from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST = 2.0
"""Seconds that must be left to start a stage."""


@dataclass(frozen=True)
class Stage:
    """`name` is a module of this package, whose `run` is the stage."""

    name: str
    title: str
    most: float  # seconds
    least: float  # seconds that earlier stages leave for it
    optional: bool = False  # only for comparison: running out of time is not a failure


STAGES = (
    Stage("versions", "versions, flags, what the device can do", 40, 15),
    Stage("captures", "each part and layer as a graph", 60, 25),
    Stage("tests", "the tests of the engine on CUDA", 110, 50),
    Stage("bits", "bits that must not depend on company", 65, 25),
    Stage("speed", "audio-seconds a second by rows and precision", 120, 60),
    Stage("profile", "where the time of a batch goes", 35, 15),
    Stage("queue", "the service's queue without HTTP", 45, 20),
    Stage("training", "training steps", 50, 25),
    Stage("faults", "errors of the device, and lack of memory", 60, 40),
    Stage("layers", "each convolution by algorithm and precision", 50, 15, optional=True),
    Stage("compiled", "the same steps through torch.compile", 75, 20, optional=True),
)
NAMES = tuple(stage.name for stage in STAGES)


def chosen(names: Sequence[str]) -> list[Stage]:
    """The stages with these names, in their fixed order. Raises `ValueError` for an unknown one."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ValueError(f"no stage {', '.join(unknown)}; there is {', '.join(NAMES)}")
    return [stage for stage in STAGES if stage.name in names]


def share(stage: Stage, later: Sequence[Stage], left: float) -> float:
    """Seconds for `stage` if `left` remain for it and the `later` ones: its most, unless the later
    ones would get less than their least; if time is too short for that, a proportional share."""
    kept = sum(other.least for other in later)
    if left <= stage.least + kept:
        return left * stage.least / (stage.least + kept)
    return min(stage.most, left - kept)
