"""CUDA graphs as recordings."""

import contextlib
import gc
import os
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TypeVar

import torch

from ..arithmetic import Multiplication, arithmetic
from .capture import CaptureError, Recording
from .handover import handover
from .steps import Tensors

T = TypeVar("T")


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

    @contextmanager
    def nothing_wanting(self) -> Iterator[None]:
        """Raises `torch.OutOfMemoryError` where memory was wanting inside, whatever came of it.

        torch then has cuDNN take another algorithm, and so gives other bits, without a word; where
        there is none, it says that no engine was found.
        """
        before = self._wants()
        try:
            yield
        except torch.OutOfMemoryError:
            raise
        except RuntimeError as error:
            if self._wants() > before:
                raise torch.OutOfMemoryError(str(error)) from error
            raise
        if self._wants() > before:
            raise torch.OutOfMemoryError("there is no memory for cuDNN's own choice of algorithm")

    def _wants(self) -> int:
        """How often memory was asked for in vain."""
        return int(torch.cuda.memory_stats_as_nested_dict(self._device).get("num_ooms", 0))

    def in_new_thread(self, function: Callable[[], T]) -> T:
        """As `Recorder`."""
        return in_new_thread(function)

    def launch(self, function: Callable[[], object]) -> None:
        """As `Recorder`."""
        with handover.in_a_gap(), self.launching(), self.nothing_wanting():
            function()
            self._done.record(self._stream)
        self._done.synchronize()

    def record(self, function: Callable[[], Tensors]) -> Recording:
        """As `Recorder`."""
        graph = torch.cuda.CUDAGraph()
        with handover.in_a_gap(), self.launching():
            capture = torch.cuda.graph(graph, self._pool, self._stream, "thread_local")
            try:
                with capture, self.nothing_wanting():
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
        device = self._stream.device_index
        with contextlib.suppress(RuntimeError):  # where it did end the recording
            torch._C._cuda_endAllocateToPool(device, self._pool)
            torch._C._cuda_releasePool(device, self._pool)  # as `reset` does only where it ended
        with contextlib.suppress(RuntimeError):
            graph.reset()
        self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.synchronize()  # an error that stays is raised here

    def release(self) -> None:
        """As `Recorder`."""
        let_go()


def let_go() -> None:
    """Give memory that nothing uses back to the device."""
    gc.collect()  # errors that name each other hold on to what led to them
    with handover.in_a_gap():
        torch.cuda.empty_cache()


def same_workspaces() -> None:
    """cuBLAS, and so LSTMs, then sum in one order in every stream; before the device is first used
    (the notes on `torch.nn.LSTM`)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2")


def in_new_thread(function: Callable[[], T]) -> T:
    """What `function` returns, called in a new thread, in which cuDNN chooses its algorithms anew.

    For each shape, torch keeps cuDNN's algorithm for as long as a thread lives, and in that thread
    alone: also one chosen without a search, or because there was no memory for a better one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="recorder") as thread:
        return thread.submit(function).result()
