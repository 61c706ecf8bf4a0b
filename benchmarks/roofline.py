"""How fast this machine multiplies and adds in float32, how fast it reads what does not stay in the
caches of one core, and what that allows a network (the roofline model: Williams, Waterman and
Patterson, 2009).
"""

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
from torch.nn import functional as F

from model_core.engine.native import peak_macs

_SIZES = (384, 512, 768, 1024, 2048)


@dataclass(frozen=True)
class Roofline:
    """What a machine does at best in a second."""

    macs: float
    """Multiply-adds."""
    bytes: float
    """Read from where the LSTM's weights lie."""

    def seconds(self, macs: float, weights_read: float) -> float:
        """At least, for so many multiply-adds. `weights_read`: the float32 weights among them that
        are read for one multiply-add each, and no faster than they come."""
        reading = 4 * weights_read / self.bytes
        return (macs - weights_read) / self.macs + max(weights_read / self.macs, reading)


def roofline(seconds: float = 3.0, backend: str | None = None) -> Roofline:
    """With the current number of torch threads, measured for about `seconds`."""
    return Roofline(_macs(seconds, backend), _read_rate())


_READ_BYTES = 8 << 20  # two LSTM layers of width 512


@torch.inference_mode()
def _read_rate() -> float:
    """Bytes per second, the best of many sums over the same array."""
    data = torch.ones(_READ_BYTES // 4)
    return 4 * _best_rate(data.sum, data.numel(), 0.3)


def _macs(seconds: float, backend: str | None) -> float:
    """Multiply-adds per second.

    The best, within about `seconds`, of several matrix products by torch's BLAS and its convolution
    library, and of the native engine's own measurement, if it is built. If `backend` names a native
    build, such as `native-avx2`, only that build's measurement counts: torch may use wider vectors.
    """
    kind, _, build = (backend or "").partition("-")
    if kind == "native" and build:
        return peak_macs(torch.get_num_threads(), build)
    products = [_product(size) for size in _SIZES] + [_pointwise(size) for size in _SIZES]
    best = max(_best_rate(run, macs, seconds / len(products)) for run, macs in products)
    return max(best, peak_macs(torch.get_num_threads()))


def _product(size: int) -> tuple[Callable[[], object], int]:
    a, b = torch.randn(size, size), torch.randn(size, size)
    out = torch.empty(size, size)
    return lambda: torch.mm(a, b, out=out), size**3


def _pointwise(size: int) -> tuple[Callable[[], object], int]:
    """The same product as a convolution with one tap."""
    x, weight = torch.randn(1, size, size), torch.randn(size, size, 1)
    return lambda: F.conv1d(x, weight), size**3


@torch.inference_mode()
def _best_rate(run: Callable[[], object], macs: int, seconds: float) -> float:
    run()
    shortest, end = float("inf"), time.perf_counter() + seconds
    while (began := time.perf_counter()) < end or shortest == float("inf"):
        run()
        shortest = min(shortest, time.perf_counter() - began)
    return macs / shortest


@torch.inference_mode()
def device_roofline(
    device: torch.device, precision: str, size: int = 8192, runs: int = 10
) -> float:
    """Multiply-adds per second of a CUDA device in one large product of random matrices, in
    `precision` (float32, tf32 or bfloat16): the best of `runs` runs."""
    matmul: Any = torch.backends.cuda.matmul
    before = matmul.fp32_precision
    matmul.fp32_precision = "tf32" if precision == "tf32" else "ieee"
    try:
        dtype = torch.bfloat16 if precision == "bfloat16" else torch.float32
        a, b = (torch.randn(size, size, device=device, dtype=dtype) for _ in range(2))
        best = float("inf")
        for _ in range(runs + 1):
            torch.cuda.synchronize(device)
            began = time.perf_counter()
            torch.mm(a, b)
            torch.cuda.synchronize(device)
            best = min(best, time.perf_counter() - began)
    finally:
        matmul.fp32_precision = before
    return size**3 / best
