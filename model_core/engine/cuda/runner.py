"""Who runs the steps: the host as they are, a GPU as captured graphs (`graph`)."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from .steps import CARRIED, Step, Tensors, Variant


@dataclass(frozen=True)
class Batch:
    """What a runner must know of a batch beside its inputs."""

    variant: Variant

    longest: int
    """The most rows that follow one another."""

    carried: Sequence[Tensor | None]
    """For each row that is used, what its stream carries `[S]`; None for a stream that begins and
    for a row that continues the one before it."""


@dataclass
class Stage:
    """A place on the host for what one batch takes and gives. Who holds it writes `inputs` (rows
    that are left as they are cost time and nothing else), runs, and reads `outputs`."""

    inputs: Tensors
    outputs: Tensors = field(default_factory=dict)


class Runner(Protocol):
    """Runs one step for batches of one size. Several threads may use it at the same time."""

    @property
    def captured(self) -> bool | None:
        """Whether all that was prepared runs as graphs; None where there are none."""

    def prepare(self, variant: Variant) -> None:
        """Make ready what `run` of this variant needs, if that is not yet done."""

    def stage(self) -> AbstractContextManager[Stage]:
        """Waits until one is free."""

    def run(self, stage: Stage, batch: Batch) -> Sequence[Tensor]:
        """Run on what is in `stage`; returns for each row what its stream carries on `[S]`, which
        counts for the last row of each."""


class HostRunner:
    """A `Runner` on the CPU: the step as it is."""

    captured: bool | None = None

    def __init__(self, step: Step, max_batch: int):
        self._step = step
        self._max_batch = max_batch

    def prepare(self, variant: Variant) -> None:
        """As `Runner`: there is nothing."""

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        yield Stage(batch_of(self._step.inputs, self._max_batch))

    def run(self, stage: Stage, batch: Batch) -> Sequence[Tensor]:
        """As `Runner`."""
        given = dict(stage.inputs)
        if self._step.begin is not None:
            given[CARRIED] = torch.stack(filled(batch.carried, self._step.begin, self._max_batch))
        stage.outputs = run_step(self._step, given, batch.variant, batch.longest)
        after = stage.outputs.pop(CARRIED, None)
        return [] if after is None else [row.clone() for row in after[: len(batch.carried)]]


def run_step(step: Step, given: Tensors, variant: Variant, longest: int) -> Tensors:
    """All of a step, kernel by kernel."""
    held = step.first(given, variant.whole)
    for _ in range(longest):
        held |= step.again(held)
    return step.last(held, variant)


def batch_of(examples: Tensors, count: int) -> Tensors:
    """As many rows of each."""
    return {name: x.repeat(count, *[1] * (x.dim() - 1)) for name, x in examples.items()}


def filled(rows: Sequence[Tensor | None], begin: Tensor, count: int) -> list[Tensor]:
    """The rows of a whole batch: `begin` where a stream begins and where there is none."""
    return [begin if row is None else row for row in rows] + [begin] * (count - len(rows))
