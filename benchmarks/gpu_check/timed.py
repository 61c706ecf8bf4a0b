"""Time that the device takes for a function."""

import time
from collections.abc import Callable
from statistics import median

import torch


def milliseconds(function: Callable[[], object], device: torch.device, runs: int = 9) -> float:
    """The median of `runs` calls, after one that does not count. On a GPU, the time between two
    events of the current stream: the host's launch time counts if the device waits for it. On the
    CPU, which is only a trial, there are two calls."""
    if device.type != "cuda":
        return median(_on_host(function) for _ in range(2))
    function()
    times = []
    for _ in range(runs):
        start, end = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        start.record()
        function()
        end.record()
        end.synchronize()
        times.append(start.elapsed_time(end))
    return median(times)


def _on_host(function: Callable[[], object]) -> float:
    began = time.perf_counter()
    function()
    return 1000 * (time.perf_counter() - began)
