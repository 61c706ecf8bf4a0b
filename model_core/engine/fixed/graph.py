"""Steps on a GPU: captured as CUDA graphs, fed and emptied while others run.

    copies in    |in 1|in 2|         |in 3|
    graphs            |  batch 1  |  batch 2  |  batch 3
    copies out                    |out 1|     |out 2|

Two stages in pinned memory, each with buffers of its own on the device, let one batch be written
and copied while another is computed. The graphs of a step read the same tensors, share one pool of
memory and run one after another.

While a graph is captured, no other thread may use the device: torch allows one capture in a
process, and what others do meanwhile would end up in it or spoil it. So work is handed to the
device under one lock, which is held for as long as that takes, not for the computing.
"""

import contextlib
import logging
import os
import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from queue import SimpleQueue

import torch
from torch import Tensor

from ..arithmetic import Multiplication, arithmetic
from .runner import Stage, batch_of, filled
from .steps import Step, Tensors, Variant

logger = logging.getLogger(__name__)

BATCHES_AT_ONCE = 2
"""Batches on their way at once, and so the threads that keep a device busy."""

handing_over = threading.RLock()

# Before a capture, so that libraries have chosen their algorithms and taken their workspaces.
_WARM_UPS = 3


class _PinnedStage(Stage):
    """With its own buffers on the device; outputs lie one after another in flat ones."""

    def __init__(self, step: Step, max_batch: int, device: torch.device):
        inputs, outputs = batch_of(step.inputs, max_batch), batch_of(step.outputs, max_batch)
        super().__init__({name: x.pin_memory() for name, x in inputs.items()})
        self.device_inputs = {name: x.to(device) for name, x in inputs.items()}
        self.flat = {name: x.flatten().pin_memory() for name, x in outputs.items()}
        self.device_flat = {name: x.flatten().to(device) for name, x in outputs.items()}
        self.done = torch.cuda.Event()


class GraphRunner:
    """A `Runner` on a CUDA device.

    What a variant does is captured when it is first asked for; where that does not work, its
    kernels are launched one by one, with a warning.
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
        self._multiplication = multiplication
        self._replays: dict[Variant, Callable[[], Tensors]] = {}
        self._failed: torch.cuda.CUDAGraph | None = None
        with handing_over, torch.cuda.device(device):
            self._copies_in, self._compute, self._copies_out = _stream(), _stream(), _stream()
            self._given = {n: x.to(device) for n, x in batch_of(step.inputs, max_batch).items()}
            if step.begin is not None:
                self._begin = step.begin.to(device)
                self._given["carried"] = self._begin.repeat(max_batch, 1)
            self._pool = torch.cuda.graph_pool_handle()
            self._free: SimpleQueue[_PinnedStage] = SimpleQueue()
            for _ in range(BATCHES_AT_ONCE):
                self._free.put(_PinnedStage(step, max_batch, device))
            torch.cuda.synchronize()

    @torch.inference_mode()
    def prepare(self, variant: Variant) -> None:
        """As `Runner`."""
        with handing_over, torch.cuda.device(self._device):
            self._replay_of(variant)

    @contextmanager
    def stage(self) -> Iterator[Stage]:
        """As `Runner`."""
        stage = self._free.get()
        try:
            yield stage
        except BaseException:
            with handing_over:
                torch.cuda.synchronize(self._device)  # no copy may run on into the next batch's
            raise
        finally:
            self._free.put(stage)

    @torch.inference_mode()
    def run(
        self, stage: Stage, variant: Variant, rows: Sequence[Tensor | None]
    ) -> Sequence[Tensor]:
        """As `Runner`; raises `TypeError` for a stage that is not its own."""
        if not isinstance(stage, _PinnedStage):
            raise TypeError("the stage is not one of this runner's")
        with handing_over, torch.cuda.device(self._device):
            replay = self._replay_of(variant)
            with torch.cuda.stream(self._copies_in):
                for name, x in stage.device_inputs.items():
                    x.copy_(stage.inputs[name], non_blocking=True)
            self._compute.wait_stream(self._copies_in)
            with torch.cuda.stream(self._compute):
                after, shapes = self._compute_batch(stage, replay, rows)
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
        self, stage: _PinnedStage, replay: Callable[[], Tensors], rows: Sequence[Tensor | None]
    ) -> tuple[Sequence[Tensor], dict[str, torch.Size]]:
        """Everything of a batch that runs on the stream of the graphs."""
        for name, x in stage.device_inputs.items():
            self._given[name].copy_(x)
        if "carried" in self._given:
            torch.stack(filled(rows, self._begin, self._max_batch), out=self._given["carried"])
        outputs = dict(replay())
        carried = outputs.pop("carried", None)
        after = () if carried is None else carried[: len(rows)].clone().unbind()
        for name, x in outputs.items():
            stage.device_flat[name][: x.numel()].copy_(x.flatten())
        return after, {name: x.shape for name, x in outputs.items()}

    def _replay_of(self, variant: Variant) -> Callable[[], Tensors]:
        if variant not in self._replays:
            with torch.cuda.stream(self._compute):
                self._replays[variant] = self._captured(variant)
        return self._replays[variant]

    def _captured(self, variant: Variant) -> Callable[[], Tensors]:
        def launch() -> Tensors:
            with arithmetic(self._device, self._multiplication):
                return self._step.run(self._given, variant)

        if self._failed is not None:
            return launch
        for _ in range(_WARM_UPS):
            launch()
        graph = torch.cuda.CUDAGraph()
        capture = torch.cuda.graph(graph, self._pool, self._compute, "thread_local")
        try:
            with capture:
                outputs = launch()
        except RuntimeError as error:
            self._give_up(graph)
            logger.warning("no CUDA graph of %s, its kernels run one by one: %s", variant, error)
            return launch

        def replay() -> Tensors:
            graph.replay()
            return outputs

        return replay

    def _give_up(self, graph: torch.cuda.CUDAGraph) -> None:
        """No further capture: one that failed leaves the allocator recording into the pool, which
        ends here, and calls back to its graph, which is therefore kept."""
        self._failed = graph
        with contextlib.suppress(RuntimeError):  # where it did end the recording
            torch._C._cuda_endAllocateToPool(self._compute.device_index, self._pool)
        torch.cuda.synchronize()  # an error that stays is raised here


def same_workspaces() -> None:
    """cuBLAS, and so LSTMs, then sum in one order in every stream; before the device is first used
    (the notes on `torch.nn.LSTM`)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2")


def _stream() -> torch.cuda.Stream:
    return torch.cuda.Stream()
