"""The stages, the important ones first, and how the time is shared out among them."""

from collections.abc import Sequence
from dataclasses import dataclass

SHORTEST = 2.0
"""Seconds below which a stage is not begun."""


@dataclass(frozen=True)
class Stage:
    """`name` is a module of this package, whose `run` is the stage."""

    name: str
    title: str
    most: float  # seconds
    least: float  # seconds kept for it by those before
    optional: bool = False  # for comparison alone: being ended in time is no failure


STAGES = (
    Stage("versions", "versions, flags, what the device can do", 40, 15),
    Stage("captures", "each part and layer as a graph", 60, 25),
    Stage("tests", "the tests of the engine on CUDA", 110, 50),
    Stage("bits", "bits that must not depend on company", 65, 25),
    Stage("speed", "audio-seconds a second by rows and precision", 120, 60),
    Stage("profile", "where the time of a batch goes", 35, 15),
    Stage("queue", "the service's queue without HTTP", 45, 20),
    Stage("training", "training steps", 50, 25),
    Stage("faults", "errors of the device, and want of memory", 60, 40),
    Stage("layers", "each convolution by algorithm and precision", 50, 15, optional=True),
    Stage("compiled", "the same steps through torch.compile", 75, 20, optional=True),
)
NAMES = tuple(stage.name for stage in STAGES)


def chosen(names: Sequence[str]) -> list[Stage]:
    """The stages of these names, in their own order. Raises `ValueError` for an unknown one."""
    unknown = sorted(set(names) - set(NAMES))
    if unknown:
        raise ValueError(f"no stage {', '.join(unknown)}; there is {', '.join(NAMES)}")
    return [stage for stage in STAGES if stage.name in names]


def share(stage: Stage, later: Sequence[Stage], left: float) -> float:
    """Seconds for `stage` where `left` are left for it and the `later` ones: its most, unless that
    would take of what the later ones are to have at least; of too little, each gets its part."""
    kept = sum(other.least for other in later)
    if left <= stage.least + kept:
        return left * stage.least / (stage.least + kept)
    return min(stage.most, left - kept)
