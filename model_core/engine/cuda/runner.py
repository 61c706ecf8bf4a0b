"""Runs the steps: directly on the host; on a GPU, `graph` runs them as captured graphs."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from .steps import CARRIED, Step, Tensors, Variant


@dataclass(frozen=True)
class Batch:
    """A batch, apart from its inputs."""

    variant: Variant

    longest: int
    """The length of the longest run of rows of one stream."""

    carried: Sequence[Tensor | None]
    """For each used row, its stream's state `[S]`; None if the stream begins or the row continues
    the one before it."""


@dataclass
class Stage:
    """Host memory for the inputs and outputs of one batch. Its holder writes `inputs` (unused rows
    may hold anything), runs, and reads `outputs`."""

    inputs: Tensors
    outputs: Tensors = field(default_factory=dict)


class Runner(Protocol):
    """Runs one step for batches of one size. Several threads may use it at the same time."""

    @property
    def captured(self) -> bool | None:
        """Whether every prepared variant runs as a graph; None on the CPU."""

    def prepare(self, variant: Variant) -> None:
        """Prepare what `run` of this variant needs, if not yet done."""

    def stage(self) -> AbstractContextManager[Stage]:
        """A free stage; waits for one."""

    def run(self, stage: Stage, batch: Batch) -> Sequence[Tensor]:
        """Run on the contents of `stage`; returns for each row its new state `[S]`, which is valid
        for the last row of each stream."""


class HostRunner:
    """A `Runner` on the CPU, without graphs."""

    captured: bool | None = None

    def __init__(self, step: Step, max_batch: int):
        self._step = step
        self._max_batch = max_batch

    def prepare(self, variant: Variant) -> None:
        """See `Runner`: nothing to do."""

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        yield Stage(batch_of(self._step.inputs, self._max_batch))

    def run(self, stage: Stage, batch: Batch) -> Sequence[Tensor]:
        """See `Runner`."""
        given = dict(stage.inputs)
        if self._step.begin is not None:
            given[CARRIED] = torch.stack(filled(batch.carried, self._step.begin, self._max_batch))
        stage.outputs = run_step(self._step, given, batch.variant, batch.longest)
        after = stage.outputs.pop(CARRIED, None)
        return [] if after is None else [row.clone() for row in after[: len(batch.carried)]]


def run_step(step: Step, given: Tensors, variant: Variant, longest: int) -> Tensors:
    """A whole step, kernel by kernel."""
    held = step.first(given, variant.whole)
    for _ in range(longest):
        held |= step.again(held)
    return step.last(held, variant)


def batch_of(examples: Tensors, count: int) -> Tensors:
    """The examples, repeated to `count` rows."""
    return {name: x.repeat(count, *[1] * (x.dim() - 1)) for name, x in examples.items()}


def filled(rows: Sequence[Tensor | None], begin: Tensor, count: int) -> list[Tensor]:
    """The rows of a whole batch: `begin` for streams that begin and for unused rows."""
    return [begin if row is None else row for row in rows] + [begin] * (count - len(rows))
