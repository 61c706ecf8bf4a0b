"""Runs a step on batches: kernel by kernel on the host, as captured graphs on a GPU.

    copies in    |in 1|in 2|         |in 3|
    graphs            |  batch 1  |  batch 2  |  batch 3
    copies out                    |out 1|     |out 2|

On a GPU there are two stages in pinned memory, each with its own buffers on the device. The graphs
of a step read the same tensors, share one memory pool and run one after another. Work is launched
under one lock (`handover`).
"""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from queue import SimpleQueue

import torch
from torch import Tensor

from ..modules import Multiplication
from ..protocol import BATCHES_AT_ONCE
from .capture import Capturing, CudaRecorder, every_allocation_succeeds
from .handover import handover
from .steps import CARRIED, Step, Tensors, Variant


@dataclass
class Stage:
    """Host memory for the inputs and outputs of one batch. Its holder writes `inputs` (unused rows
    may hold anything), runs, and reads `outputs`."""

    inputs: Tensors
    outputs: Tensors = field(default_factory=dict)


class _PinnedStage(Stage):
    """A stage with its own buffers on the device; outputs lie one after another in flat ones."""

    def __init__(self, step: Step, max_batch: int, device: torch.device):
        inputs, outputs = batch_of(step.inputs, max_batch), batch_of(step.outputs, max_batch)
        super().__init__({name: x.pin_memory() for name, x in inputs.items()})
        self.device_inputs = {name: x.to(device) for name, x in inputs.items()}
        self.flat = {name: x.flatten().pin_memory() for name, x in outputs.items()}
        self.device_flat = {name: x.flatten().to(device) for name, x in outputs.items()}
        # Blocking: a waiting thread sleeps instead of spinning on a core.
        self.done = torch.cuda.Event(blocking=True)


class Runner:
    """Runs one step for batches of one size. Several threads may use it at the same time."""

    def __init__(self, step: Step, max_batch: int):
        self._step = step
        self._max_batch = max_batch
        self._begin = step.begin

    @property
    def captured(self) -> bool | None:
        """Whether every prepared variant runs as a graph; None on the CPU."""
        return None

    def prepare(self, variant: Variant) -> None:
        """Prepare what `run` of this variant needs, if not yet done."""

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """A free stage of this runner; waits for one."""
        yield Stage(batch_of(self._step.inputs, self._max_batch))

    def run(
        self, stage: Stage, variant: Variant, carried: Sequence[Tensor | None], longest: int
    ) -> Sequence[Tensor]:
        """Run on the contents of `stage`; returns for each row its new state `[S]`, which is valid
        for the last row of each stream.

        `carried`: for each used row, its stream's state `[S]`; None if the stream begins or the
        row continues the one before it. `longest`: the longest run of rows of one stream.
        """
        given = dict(stage.inputs)
        if self._begin is not None:
            given[CARRIED] = torch.stack(self._filled(carried, self._begin))
        stage.outputs = self._step.run(given, variant, longest)
        after = stage.outputs.pop(CARRIED, None)
        return [] if after is None else [row.clone() for row in after[: len(carried)]]

    def _filled(self, rows: Sequence[Tensor | None], begin: Tensor) -> list[Tensor]:
        """The rows of a whole batch: `begin` for streams that begin and for unused rows."""
        unused = [begin] * (self._max_batch - len(rows))
        return [begin if row is None else row for row in rows] + unused


class GraphRunner(Runner):
    """On a CUDA device. `prepare`, or the first run, captures a variant; if that fails, its kernels
    are launched one by one, with a warning."""

    @torch.inference_mode()
    def __init__(
        self, step: Step, max_batch: int, device: torch.device, multiplication: Multiplication
    ):
        super().__init__(step, max_batch)
        self._device = device
        with handover.in_a_gap(), torch.cuda.device(device):
            streams = [torch.cuda.Stream() for _ in range(3)]
            self._copies_in, self._compute, self._copies_out = streams
            self._given = {n: x.to(device) for n, x in batch_of(step.inputs, max_batch).items()}
            if step.begin is not None:
                self._begin = step.begin.to(device)
                self._given[CARRIED] = self._begin.repeat(max_batch, 1)
            self._free: SimpleQueue[_PinnedStage] = SimpleQueue()
            for _ in range(BATCHES_AT_ONCE):
                self._free.put(_PinnedStage(step, max_batch, device))
            torch.cuda.synchronize()
        self._recorder = CudaRecorder(device, self._compute, multiplication)
        self._capturing = Capturing(step, self._given, self._recorder)

    @property
    def captured(self) -> bool | None:
        return self._capturing.complete

    def prepare(self, variant: Variant) -> None:
        self._capturing.prepare(variant)

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        stage = self._free.get()
        try:
            yield stage
        except BaseException as error:
            with handover.of_a_batch():
                torch.cuda.synchronize(self._device)  # no copy may overlap the next batch's
            if isinstance(error, torch.AcceleratorError) and "out of memory" in str(error):
                raise torch.OutOfMemoryError(str(error)) from error  # the device still works
            raise
        finally:
            self._free.put(stage)

    @torch.inference_mode()
    def run(
        self, stage: Stage, variant: Variant, carried: Sequence[Tensor | None], longest: int
    ) -> Sequence[Tensor]:
        assert isinstance(stage, _PinnedStage)
        self._capturing.prepare(variant)
        with handover.of_a_batch(), torch.cuda.device(self._device):
            with torch.cuda.stream(self._copies_in):
                for name, x in stage.device_inputs.items():
                    x.copy_(stage.inputs[name], non_blocking=True)
            self._compute.wait_stream(self._copies_in)
            with torch.cuda.stream(self._compute):
                after, shapes = self._compute_batch(stage, variant, carried, longest)
            self._copies_out.wait_stream(self._compute)
            with torch.cuda.stream(self._copies_out):
                for name, shape in shapes.items():
                    size = shape.numel()
                    stage.flat[name][:size].copy_(stage.device_flat[name][:size], non_blocking=True)
                stage.done.record()
        stage.done.synchronize()
        stage.outputs = {
            name: stage.flat[name][: shape.numel()].view(shape) for name, shape in shapes.items()
        }
        return after

    def _compute_batch(
        self, stage: _PinnedStage, variant: Variant, carried: Sequence[Tensor | None], longest: int
    ) -> tuple[Sequence[Tensor], dict[str, torch.Size]]:
        """The part of a batch that runs on the stream of the graphs."""
        for name, x in stage.device_inputs.items():
            self._given[name].copy_(x)
        if self._begin is not None:
            torch.stack(self._filled(carried, self._begin), out=self._given[CARRIED])
        replay = self._capturing.replay_of(variant)
        if replay is None:
            with self._recorder.launching(), every_allocation_succeeds(self._device):
                outputs = self._step.run(self._given, variant, longest)
        else:
            outputs = dict(replay(longest))
        states = outputs.pop(CARRIED, None)
        after = () if states is None else states[: len(carried)].clone().unbind()
        for name, x in outputs.items():
            stage.device_flat[name][: x.numel()].copy_(x.flatten())
        return after, {name: x.shape for name, x in outputs.items()}


def batch_of(examples: Tensors, count: int) -> Tensors:
    """The examples, repeated to `count` rows."""
    return {name: x.repeat(count, *[1] * (x.dim() - 1)) for name, x in examples.items()}
