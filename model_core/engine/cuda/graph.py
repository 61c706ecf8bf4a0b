"""Steps on a GPU: captured as CUDA graphs, copied to and from while others run.

    copies in    |in 1|in 2|         |in 3|
    graphs            |  batch 1  |  batch 2  |  batch 3
    copies out                    |out 1|     |out 2|

There are two stages in pinned memory, each with its own buffers on the device: one batch is written
and copied while another is computed. The graphs of a step read the same tensors, share one memory
pool and run one after another. Work is launched under one lock (`handover`).
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

import torch
from torch import Tensor

from ..modules import Multiplication
from ..protocol import BATCHES_AT_ONCE
from .capture import Capturing
from .handover import handover
from .recorder import CudaRecorder
from .runner import Batch, Stage, batch_of, filled, run_step
from .steps import CARRIED, Step, Variant


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


class GraphRunner:
    """A `Runner` on a CUDA device.

    `prepare`, or the first run, captures a variant; if that fails, its kernels are launched one by
    one, with a warning.
    """

    @torch.inference_mode()
    def __init__(
        self,
        step: Step,
        max_batch: int,
        device: torch.device,
        multiplication: Multiplication,
    ):
        self._step = step
        self._device = device
        self._max_batch = max_batch
        with handover.in_a_gap(), torch.cuda.device(device):
            self._copies_in, self._compute, self._copies_out = _stream(), _stream(), _stream()
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
        self._preparing = threading.Lock()

    @property
    def captured(self) -> bool | None:
        """See `Runner`."""
        return self._capturing.complete

    def prepare(self, variant: Variant) -> None:
        """See `Runner`."""
        with self._preparing:
            self._capturing.prepare(variant)

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """See `Runner`."""
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
    def run(self, stage: Stage, batch: Batch) -> Sequence[Tensor]:
        """See `Runner`; raises `TypeError` for a stage of another runner."""
        if not isinstance(stage, _PinnedStage):
            raise TypeError("the stage is not one of this runner's")
        if not self._capturing.knows(batch.variant):
            self.prepare(batch.variant)
        with handover.of_a_batch(), torch.cuda.device(self._device):
            with torch.cuda.stream(self._copies_in):
                for name, x in stage.device_inputs.items():
                    x.copy_(stage.inputs[name], non_blocking=True)
            self._compute.wait_stream(self._copies_in)
            with torch.cuda.stream(self._compute):
                after, shapes = self._compute_batch(stage, batch)
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
        self, stage: _PinnedStage, batch: Batch
    ) -> tuple[Sequence[Tensor], dict[str, torch.Size]]:
        """The part of a batch that runs on the stream of the graphs."""
        for name, x in stage.device_inputs.items():
            self._given[name].copy_(x)
        if CARRIED in self._given:
            rows = filled(batch.carried, self._begin, self._max_batch)
            torch.stack(rows, out=self._given[CARRIED])
        replay = self._capturing.replay_of(batch.variant)
        if replay is None:
            with self._recorder.launching(), self._recorder.every_allocation_succeeds():
                outputs = run_step(self._step, self._given, batch.variant, batch.longest)
        else:
            outputs = dict(replay(batch.longest))
        carried = outputs.pop(CARRIED, None)
        after = () if carried is None else carried[: len(batch.carried)].clone().unbind()
        for name, x in outputs.items():
            stage.device_flat[name][: x.numel()].copy_(x.flatten())
        return after, {name: x.shape for name, x in outputs.items()}


def _stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()
