"""Learning rates over a run. Progress is the finished share of the run, 0 to 1."""

import math


def progress(step: int, steps: int, spent: float, minutes: float | None) -> float:
    """The finished share of a run: of its `minutes` if given, else of its `steps`."""
    return step / steps if minutes is None else spent / (60 * minutes)


def learning_rate_factor(
    step: int, progress: float, warmup_steps: int, decay_from: float, final: float
) -> float:
    """Rises over `warmup_steps`, stays at 1, then falls to `final` along a cosine.

    The fall starts at progress `decay_from` and ends with the run.
    """
    warm = min(1.0, (step + 1) / warmup_steps) if warmup_steps else 1.0
    if progress <= decay_from or decay_from >= 1:
        return warm
    fallen = min(1.0, (progress - decay_from) / (1 - decay_from))
    return warm * (final + (1 - final) * 0.5 * (1 + math.cos(math.pi * fallen)))
