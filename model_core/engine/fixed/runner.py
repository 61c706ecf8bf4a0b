"""Who runs the steps: the host as they are, a GPU as captured graphs (`graph`)."""

from collections.abc import Iterator, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import dataclass, field
from typing import Protocol

import torch
from torch import Tensor

from .steps import Step, Tensors, Variant


@dataclass
class Stage:
    """A place on the host for what one batch takes and gives. Who holds it writes `inputs` (rows
    that are left as they are cost time and nothing else), runs, and reads `outputs`."""

    inputs: Tensors
    outputs: Tensors = field(default_factory=dict)


class Runner(Protocol):
    """Runs one step for batches of one size. Several threads may use it at the same time."""

    def prepare(self, variant: Variant) -> None:
        """Make ready what `run` of this variant needs, if that is not yet done."""

    def stage(self) -> AbstractContextManager[Stage]:
        """Waits until one is free."""

    def run(
        self, stage: Stage, variant: Variant, rows: Sequence[Tensor | None]
    ) -> Sequence[Tensor]:
        """Run on what is in `stage`; returns the streams' rows `[S]` as they are after it.

        `rows` are those before it, in the order of the batch; None for a stream that begins.
        """


class HostRunner:
    """A `Runner` on the CPU: the step as it is."""

    def __init__(self, step: Step, max_batch: int):
        self._step = step
        self._max_batch = max_batch

    def prepare(self, variant: Variant) -> None:
        """As `Runner`: there is nothing."""

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        yield Stage(batch_of(self._step.inputs, self._max_batch))

    def run(
        self, stage: Stage, variant: Variant, rows: Sequence[Tensor | None]
    ) -> Sequence[Tensor]:
        """As `Runner`."""
        given = dict(stage.inputs)
        if self._step.begin is not None:
            given["carried"] = torch.stack(filled(rows, self._step.begin, self._max_batch))
        stage.outputs = self._step.run(given, variant)
        after = stage.outputs.pop("carried", None)
        return [] if after is None else [row.clone() for row in after[: len(rows)]]


def batch_of(examples: Tensors, count: int) -> Tensors:
    """As many rows of each."""
    return {name: x.repeat(count, *[1] * (x.dim() - 1)) for name, x in examples.items()}


def filled(rows: Sequence[Tensor | None], begin: Tensor, count: int) -> list[Tensor]:
    """The rows of a whole batch: `begin` where a stream begins and where there is none."""
    return [begin if row is None else row for row in rows] + [begin] * (count - len(rows))
