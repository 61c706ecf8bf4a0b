"""The device's work for a function, by torch's profiler."""

import os
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch.autograd import DeviceType
from torch.profiler import ProfilerActivity, profile

# The first entry with a word in the name of torch's operation.
_KINDS = {
    "LSTM": ("rnn", "lstm"),
    "convolutions": ("conv",),
    "search and look-up": ("mm", "argmin", "embedding", "index"),
    "norms": ("var_mean",),
    "copies": (
        "copy", "clone", "cat", "stack", "fill", "zero", "flip", "roll", "gather", "scatter",
        "memcpy", "memset", "contiguous",
    ),
}  # fmt: skip
ELEMENT_WISE = "element-wise"


@dataclass(frozen=True)
class Kernel:
    """All runs of one kernel (on the CPU: of one operation)."""

    name: str
    count: int
    milliseconds: float


@dataclass(frozen=True)
class Launched:
    """The work of one call: its kernels by time, longest first, and the milliseconds by kind of
    operation that launched them."""

    kernels: list[Kernel]
    kinds: dict[str, float]

    @property
    def count(self) -> int:
        """Number of kernels, copies and fills."""
        return sum(kernel.count for kernel in self.kernels)

    @property
    def milliseconds(self) -> float:
        return sum(kernel.milliseconds for kernel in self.kernels)


def launched(function: Callable[[], object], device: torch.device) -> Launched:
    """Profile one call."""
    # CUDA's tracing must not be torn down and set up again beside graphs.
    os.environ |= {"TEARDOWN_CUPTI": "0", "DISABLE_CUPTI_LAZY_REINIT": "1"}
    on_gpu = device.type == "cuda"
    activities = [ProfilerActivity.CPU, *([ProfilerActivity.CUDA] if on_gpu else [])]
    with profile(activities=activities) as seen:
        function()
        if on_gpu:
            torch.cuda.synchronize(device)
    kernels: list[Kernel] = []
    kinds: dict[str, float] = {}
    for event in seen.key_averages():
        on_host = event.device_type == DeviceType.CPU
        time = event.self_device_time_total if on_gpu else event.self_cpu_time_total  # us
        if not time:
            continue
        if on_host:
            kind = kind_of(event.key)
            kinds[kind] = kinds.get(kind, 0.0) + time / 1000
        if on_host != on_gpu:
            kernels.append(Kernel(event.key, event.count, time / 1000))
    kernels.sort(key=lambda kernel: -kernel.milliseconds)
    return Launched(kernels, dict(sorted(kinds.items(), key=lambda item: -item[1])))


def kind_of(operation: str) -> str:
    """The kind of work of a torch operation."""
    name = operation.lower()
    for kind, words in _KINDS.items():
        if any(word in name for word in words):
            return kind
    return ELEMENT_WISE
