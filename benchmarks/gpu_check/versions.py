"""The machine, the precision of torch's products, and the device's highest speed."""

import importlib.util
import os
import platform
import subprocess
from importlib.metadata import PackageNotFoundError, version
from typing import Any

import torch

from model_core.engine.cuda.capture import same_workspaces
from model_core.engine.modules import arithmetic

from ..machine import this_machine
from ..roofline import device_roofline
from .check import Check
from .report import Report, first_line
from .timed import milliseconds

_PACKAGES = ("torchaudio", "triton", "numpy", "safetensors", "structlog", "encodec", "pytest")
_SMI = (
    "name,driver_version,memory.total,clocks.max.sm,clocks.max.memory,power.limit,temperature.gpu"
)


def run(check: Check, report: Report) -> None:
    with report.part("machine"):
        report.done("machine", this_machine("cuda" if check.has_gpu else "torch").summary())
    with report.part("packages"):
        report.done("packages", ", ".join(f"{name} {_version(name)}" for name in _PACKAGES))
    with report.part("float32 flags"):
        before = _flags()
        report.done("float32 flags by default", _said(before), **before)
        for multiplication in ("ieee", "tf32"):
            with arithmetic(torch.device("cuda"), multiplication):
                report.done(f"float32 flags of the engine, {multiplication}", _said(_flags()))
        report.check("float32 flags are put back", _flags() == before, _said(_flags()))
    if not check.has_gpu:
        report.skipped("the device", "needs CUDA")
        return
    with report.part("the device"):
        _device(check, report)
    with report.part("the best of the device"):
        _best(check, report)


def _version(name: str) -> str:
    if importlib.util.find_spec(name) is None:
        return "is not here"
    try:
        return version(name)
    except PackageNotFoundError:
        return "(as it came along)"


def _flags() -> dict[str, Any]:
    """torch's settings for the multiplication of float32."""
    cudnn: Any = torch.backends.cudnn
    matmul: Any = torch.backends.cuda.matmul
    return {
        "convolutions": cudnn.conv.fp32_precision,
        "LSTM": cudnn.rnn.fp32_precision,
        "products": matmul.fp32_precision,
        "deterministic": cudnn.deterministic,
        "benchmark": cudnn.benchmark,
    }


def _said(flags: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in flags.items())


def _device(check: Check, report: Report) -> None:
    same_workspaces()
    properties = torch.cuda.get_device_properties(check.device)
    report.done(
        "the device",
        f"{properties.name}, capability {properties.major}.{properties.minor},"
        f" {properties.multi_processor_count} multiprocessors,"
        f" {properties.total_memory / 2**30:.0f} GiB",
    )
    report.done(
        "its software",
        f"Python {platform.python_version()}, torch {torch.__version__}, CUDA {torch.version.cuda},"
        f" cuDNN {torch.backends.cudnn.version()},"
        f" CUBLAS_WORKSPACE_CONFIG {os.environ.get('CUBLAS_WORKSPACE_CONFIG')}",
    )
    try:
        said = subprocess.run(
            ["nvidia-smi", f"--query-gpu={_SMI}", "--format=csv,noheader"],
            capture_output=True, text=True, check=True, timeout=20,
        )  # fmt: skip
        report.done("nvidia-smi", said.stdout.strip(), asked=_SMI)
    except (OSError, subprocess.SubprocessError) as error:
        report.skipped("nvidia-smi", first_line(error))
    free, total = torch.cuda.mem_get_info(check.device)
    report.done("memory", f"{free / 2**30:.1f} of {total / 2**30:.1f} GiB are free")


def _best(check: Check, report: Report) -> None:
    """The device's limits."""
    for precision in ("float32", "tf32", "bfloat16"):
        rate = device_roofline(check.device, precision)
        report.done(
            f"large products in {precision}",
            f"{rate / 1e12:.1f} T multiply-adds a second",
            multiply_adds=rate,
        )
    source = torch.empty(2**30, dtype=torch.uint8, device=check.device)
    to = torch.empty_like(source)
    seconds = milliseconds(lambda: to.copy_(source), check.device) / 1000
    rate = 2 * source.numel() / seconds
    report.done("copies on the device", f"{rate / 1e12:.2f} TB/s, read and written", bytes=rate)
    pinned = torch.empty(2**28, dtype=torch.uint8, pin_memory=True)
    part = to[: pinned.numel()]
    into = milliseconds(lambda: part.copy_(pinned, non_blocking=True), check.device)
    out = milliseconds(lambda: pinned.copy_(part, non_blocking=True), check.device)
    rates = [pinned.numel() / ms / 1e6 for ms in (into, out)]
    report.done(
        "copies to and from the host", f"{rates[0]:.1f} and {rates[1]:.1f} GB/s", rates=rates
    )
    small = torch.zeros(1, device=check.device)
    alone = milliseconds(lambda: [small.add_(1) for _ in range(1000)], check.device)
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph):
        for _ in range(1000):
            small.add_(1)
    replayed = milliseconds(graph.replay, check.device)
    report.done(
        "a kernel that does nothing much", f"{alone:.2f} us launched, {replayed:.2f} us replayed"
    )
