"""Steps as CUDA graphs: their parts are recorded once and replayed for each batch."""

import contextlib
import gc
import logging
import os
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TypeVar

import torch

from ..modules import Multiplication, arithmetic
from .handover import handover
from .steps import Step, Tensors, Variant

T = TypeVar("T")
logger = logging.getLogger(__name__)

# Before a capture, so that libraries choose their algorithms and allocate their workspaces.
_WARM_UPS = 3

Replay = Callable[[int], Tensors]
"""A whole step; its argument is the length of the longest run of rows of one stream."""

RETRY_SECONDS = 60.0
"""Seconds after which a capture that ran out of memory is tried again."""


class CaptureError(RuntimeError):
    """The step runs but cannot be recorded."""


@dataclass(frozen=True)
class Recording:
    """`replay` runs the recorded work again and writes to `outputs`."""

    replay: Callable[[], None]
    outputs: Tensors


class CudaRecorder:
    """Records functions that do the same work at every call, on one stream of a device.

    Its graphs share one memory pool, so they must run one after another. Each launch and each
    capture waits for a gap between batches and then has the device to itself.
    """

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

    def launch(self, function: Callable[[], object]) -> None:
        """Call it and wait for the kernels that it launches."""
        with handover.in_a_gap(), self.launching(), every_allocation_succeeds(self._device):
            function()
            self._done.record(self._stream)
        self._done.synchronize()

    def record(self, function: Callable[[], Tensors]) -> Recording:
        """A recording of `function`, which may compute nothing yet. Raises `CaptureError`, and
        `torch.OutOfMemoryError` if memory is short."""
        graph = torch.cuda.CUDAGraph()
        with handover.in_a_gap(), self.launching():
            capture = torch.cuda.graph(graph, self._pool, self._stream, "thread_local")
            try:
                with capture, every_allocation_succeeds(self._device):
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
        It may still call back into the graph: keep it. The next capture gets a new pool."""
        self._failed.append(graph)
        device = self._stream.device_index
        with contextlib.suppress(RuntimeError):  # if it has ended the recording
            torch._C._cuda_endAllocateToPool(device, self._pool)
            torch._C._cuda_releasePool(device, self._pool)  # `reset` does this only if it has ended
        with contextlib.suppress(RuntimeError):
            graph.reset()
        self._pool = torch.cuda.graph_pool_handle()
        torch.cuda.synchronize()  # raises a persistent error


class Capturing:
    """The recordings of a step on the tensors `given`. Any thread may prepare and replay."""

    def __init__(self, step: Step, given: Tensors, recorder: CudaRecorder):
        self._step = step
        self._given = given
        self._recorder = recorder
        self._preparing = threading.Lock()
        self._beginnings: dict[bool, tuple[Recording, Recording]] = {}  # first and again, by whole
        self._replays: dict[Variant, Replay | None] = {}
        self._retries: dict[Variant, float] = {}  # when to try again, after running out of memory

    @property
    def complete(self) -> bool:
        """Whether every prepared variant is recorded."""
        return bool(self._replays) and all(self._replays.values())

    def knows(self, variant: Variant) -> bool:
        """Whether there is nothing to prepare now."""
        due = self._retries.get(variant)
        return variant in self._replays and (due is None or time.monotonic() < due)

    def replay_of(self, variant: Variant) -> Replay | None:
        """The replay of a prepared variant; None where its kernels are launched one by one."""
        return self._replays[variant]

    def prepare(self, variant: Variant) -> None:
        """Record the variant if it is not yet recorded. Raises what a plain run of it raises."""
        if self.knows(variant):
            return
        with self._preparing:
            if not self.knows(variant):
                self._retries.pop(variant, None)
                self._replays[variant] = self._tried(variant)

    def _tried(self, variant: Variant) -> Replay | None:
        """A replay, if the variant can be recorded. If memory is short, frees some and tries once
        more."""
        for _ in range(2):
            try:
                return in_new_thread(lambda: self._recorded(variant))
            except torch.OutOfMemoryError as error:
                shortage = str(error)  # the error itself would keep all earlier tensors alive
            except CaptureError as error:
                _warn(variant, str(error))
                return None
            free_unused_memory()
        self._retries[variant] = time.monotonic() + RETRY_SECONDS
        _warn(variant, shortage)
        return None

    def _recorded(self, variant: Variant) -> Replay:
        if variant.whole not in self._beginnings:
            first = self._record(lambda: self._step.first(self._given, variant.whole))
            again = self._record(lambda: self._step.again(first.outputs), first)
            self._beginnings[variant.whole] = first, again
        first, again = self._beginnings[variant.whole]
        held = first.outputs | again.outputs
        last = self._record(lambda: self._step.last(held, variant), first, again)

        def replay(longest: int) -> Tensors:
            first.replay()
            for _ in range(longest):
                again.replay()
            last.replay()
            return last.outputs

        return replay

    def _record(self, function: Callable[[], Tensors], *before: Recording) -> Recording:
        """A recording of `function`, which reads the outputs of the recordings before it."""

        def run() -> None:
            for recording in before:
                recording.replay()
            function()

        for _ in range(_WARM_UPS):
            self._recorder.launch(run)
        return self._recorder.record(function)


@contextmanager
def every_allocation_succeeds(device: torch.device) -> Iterator[None]:
    """Raises `torch.OutOfMemoryError` if an allocation fails inside, even if torch hides it.

    After a hidden failure, cuDNN silently takes another algorithm, which gives other bits; if
    there is none, torch reports that it found no engine.
    """
    before = _failed_allocations(device)
    try:
        yield
    except torch.OutOfMemoryError:
        raise
    except RuntimeError as error:
        if _failed_allocations(device) > before:
            raise torch.OutOfMemoryError(str(error)) from error
        raise
    if _failed_allocations(device) > before:
        raise torch.OutOfMemoryError("there is no memory for cuDNN's own choice of algorithm")


def _failed_allocations(device: torch.device) -> int:
    """The number of failed allocations so far."""
    return int(torch.cuda.memory_stats_as_nested_dict(device).get("num_ooms", 0))


def in_new_thread(function: Callable[[], T]) -> T:
    """Call `function` in a new thread, in which cuDNN chooses its algorithms again.

    torch keeps cuDNN's algorithm for each shape and thread, for the life of the thread: even one
    chosen without a search, or because there was no memory for a better one.
    """
    with ThreadPoolExecutor(1, thread_name_prefix="recorder") as thread:
        return thread.submit(function).result()


def free_unused_memory() -> None:
    """Return unused memory to the device."""
    gc.collect()  # errors in reference cycles keep tensors alive
    with handover.in_a_gap():
        torch.cuda.empty_cache()


def same_workspaces() -> None:
    """Make cuBLAS, and so LSTMs, sum in the same order in every stream. Call it before the first
    use of the device (see the notes on `torch.nn.LSTM`)."""
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:2")


def _warn(variant: Variant, why: str) -> None:
    logger.warning("no CUDA graph of %s, its kernels run one by one: %s", variant, why)
