"""CUDA graphs as recordings."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import torch

from ..arithmetic import Multiplication, arithmetic
from .capture import CaptureError, Recording
from .handover import handover
from .steps import Tensors


class CudaRecorder:
    """A `Recorder` on one stream of a device; its graphs share one pool of memory, so they must
    run one after another. Each launch and each capture takes the device for itself, in a gap."""

    def __init__(
        self, device: torch.device, stream: torch.cuda.Stream, multiplication: Multiplication
    ):
        self._device = device
        self._stream = stream
        self._multiplication = multiplication
        self._pool = torch.cuda.graph_pool_handle()
        self._failed: list[torch.cuda.CUDAGraph] = []
        self._done = torch.cuda.Event(blocking=True)

    @contextmanager
    def launching(self) -> Iterator[None]:
        """What kernels are launched in, whether they are captured or run."""
        with (
            torch.inference_mode(),
            torch.cuda.device(self._device),
            torch.cuda.stream(self._stream),
            arithmetic(self._device, self._multiplication),
        ):
            yield

    def launch(self, function: Callable[[], object]) -> None:
        """As `Recorder`."""
        with handover.in_a_gap(), self.launching():
            function()
            self._done.record(self._stream)
        self._done.synchronize()

    def record(self, function: Callable[[], Tensors]) -> Recording:
        """As `Recorder`."""
        graph = torch.cuda.CUDAGraph()
        with handover.in_a_gap(), self.launching():
            capture = torch.cuda.graph(graph, self._pool, self._stream, "thread_local")
            try:
                with capture:
                    outputs = function()
            except RuntimeError as error:
                self._give_up(graph)
                if isinstance(error, torch.OutOfMemoryError):
                    raise
                if isinstance(error.__context__, torch.OutOfMemoryError):  # ended by another error
                    raise error.__context__ from error
                if "out of memory" in str(error):  # while the graph was made ready to run
                    raise torch.OutOfMemoryError(str(error)) from error
                raise CaptureError(str(error)) from error
        return Recording(graph.replay, outputs)

    def _give_up(self, graph: torch.cuda.CUDAGraph) -> None:
        """A capture that failed may leave the allocator recording into the pool, which ends here,
        and calling back to its graph, which is therefore kept. The next has a pool of its own."""
        self._failed.append(graph)
        with contextlib.suppress(RuntimeError):  # where it did end the recording
            torch._C._cuda_endAllocateToPool(self._stream.device_index, self._pool)
        with contextlib.suppress(RuntimeError):
            graph.reset()
        self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.synchronize()  # an error that stays is raised here

    def release(self) -> None:
        """As `Recorder`."""
        gc.collect()  # errors that name each other hold on to what led to them
        with handover.in_a_gap():
            torch.cuda.empty_cache()


def same_workspaces() -> None:
    """cuBLAS, and so LSTMs, then sum in one order in every stream; before the device is first used
    (the notes on `torch.nn.LSTM`)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2")
