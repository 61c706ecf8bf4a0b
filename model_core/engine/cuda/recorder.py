"""Recordings as CUDA graphs."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from ..modules import Multiplication, arithmetic
from .capture import CaptureError, Recording
from .handover import handover
from .steps import Tensors

T = TypeVar("T")


class CudaRecorder:
    """A `Recorder` on one stream of a device. Its graphs share one memory pool, so they must run
    one after another. Each launch and each capture waits for a gap between batches and then has
    the device to itself."""

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
        """The context in which kernels are launched, captured or not."""
        with (
            torch.inference_mode(),
            torch.cuda.device(self._device),
            torch.cuda.stream(self._stream),
            arithmetic(self._device, self._multiplication),
        ):
            yield

    @contextmanager
    def every_allocation_succeeds(self) -> Iterator[None]:
        """Raises `torch.OutOfMemoryError` if an allocation fails inside, even if torch hides it.

        After a hidden failure, cuDNN silently takes another algorithm, which gives other bits; if
        there is none, torch reports that it found no engine.
        """
        before = self._failed_allocations()
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if self._failed_allocations() > before:
                raise torch.OutOfMemoryError(str(error)) from error
            raise
        if self._failed_allocations() > before:
            raise torch.OutOfMemoryError("there is no memory for cuDNN's own choice of algorithm")

    def _failed_allocations(self) -> int:
        """The number of failed allocations so far."""
        return int(torch.cuda.memory_stats_as_nested_dict(self._device).get("num_ooms", 0))

    def in_new_thread(self, function: Callable[[], T]) -> T:
        """See `Recorder`."""
        return in_new_thread(function)

    def launch(self, function: Callable[[], object]) -> None:
        """See `Recorder`."""
        with handover.in_a_gap(), self.launching(), self.every_allocation_succeeds():
            function()
            self._done.record(self._stream)
        self._done.synchronize()

    def record(self, function: Callable[[], Tensors]) -> Recording:
        """See `Recorder`."""
        graph = torch.cuda.CUDAGraph()
        with handover.in_a_gap(), self.launching():
            capture = torch.cuda.graph(graph, self._pool, self._stream, "thread_local")
            try:
                with capture, self.every_allocation_succeeds():
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
        """Clean up after a failed capture. The allocator may still record into the pool: end that.
        It may still call back into the graph: keep the graph. The next capture gets a new
        pool."""
        self._failed.append(graph)
        device = self._stream.device_index
        with contextlib.suppress(RuntimeError):  # if it has ended the recording
            torch._C._cuda_endAllocateToPool(device, self._pool)
            torch._C._cuda_releasePool(device, self._pool)  # `reset` does this only if it has ended
        with contextlib.suppress(RuntimeError):
            graph.reset()
        self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.synchronize()  # raises a persistent error

    def release(self) -> None:
        """See `Recorder`."""
        free_unused_memory()


def free_unused_memory() -> None:
    """Return unused memory to the device."""
    gc.collect()  # errors in reference cycles keep tensors alive
    with handover.in_a_gap():
        torch.cuda.empty_cache()


def same_workspaces() -> None:
    """Make cuBLAS, and so LSTMs, sum in the same order in every stream. Call it before the first
    use of the device (see the notes on `torch.nn.LSTM`)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2")


def in_new_thread(function: Callable[[], T]) -> T:
    """Call `function` in a new thread, in which cuDNN chooses its algorithms again.

    torch keeps cuDNN's algorithm for each shape and thread, for the life of the thread: even one
    chosen without a search, or because there was no memory for a better one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="recorder") as thread:
        return thread.submit(function).result()
