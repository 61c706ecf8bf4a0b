"""The same steps through `torch.compile`, which may fuse the work between convolutions: whether it
works here, what it saves, whether the bits are the same."""

import time
from collections.abc import Callable, Sequence
from functools import partial
from unittest.mock import patch

import torch
from torch import Tensor
from torch.nn import functional as F

from model_core.engine.cuda import network
from model_core.engine.cuda.steps import Tensors
from model_core.engine.plan import Convolution

from ..macs import Direction
from .check import Check
from .kernels import launched
from .parts import Parts
from .report import Report
from .timed import milliseconds

_PARTS: tuple[tuple[str, Direction, str], ...] = (
    ("encodec_24khz", "encode", "first"),
    ("encodec_24khz", "decode", "last"),
    ("encodec_48khz", "encode", "first"),
    ("encodec_48khz", "decode", "last"),
)
"""The parts with convolutions."""

_EACH = 20.0  # seconds that must be left to start a part


def run(check: Check, report: Report) -> None:
    if not check.has_gpu:
        report.skipped("torch.compile", "needs CUDA")
        return
    for name, direction, part in _PARTS:
        what = f"{name} {direction} {part}"
        if report.in_time(what, _EACH):
            with report.part(what), patch.object(network, "_buffer", _buffer):
                parts = Parts(check, check.model(name), direction)
                _compiled(report, what, parts, _function(parts, part))


def _buffer(
    layer: Convolution, x: Tensor, dtype: torch.dtype, left: int, right: int
) -> tuple[Tensor, Tensor]:
    """Like the engine's, which writes its ELU in a way that `torch.compile` cannot trace."""
    x = (F.elu(x) if layer.elu else x).to(dtype)
    padded = F.pad(x, (left, right))
    return padded, padded[..., left : left + x.shape[-1]]


def _function(parts: Parts, wanted: str) -> Callable[[], Tensors]:
    """The part `wanted` of the step, with its inputs; returns only new tensors."""
    held: Tensors = {}
    for part, function in parts.functions():
        call = partial(function, dict(held))
        with parts.launching():
            outputs = call()
        if part == wanted:
            return partial(_only, call, _made(outputs, [*parts.given.values(), *held.values()]))
        held |= outputs
    raise ValueError(f"a step has no part {wanted!r}")


def _made(outputs: Tensors, inputs: Sequence[Tensor]) -> list[str]:
    """The outputs that are not views of inputs; compiled code must not return those."""
    known = {x.untyped_storage().data_ptr() for x in inputs}
    return [key for key, x in outputs.items() if x.untyped_storage().data_ptr() not in known]


def _only(call: Callable[[], Tensors], keys: Sequence[str]) -> Tensors:
    outputs = call()
    return {key: outputs[key] for key in keys}


def _compiled(report: Report, what: str, parts: Parts, call: Callable[[], Tensors]) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(call, dynamic=False, fullgraph=True)
    began = time.perf_counter()
    with parts.launching():
        compiled()
        torch.cuda.synchronize(parts.device)
        took = time.perf_counter() - began
        expected, given = call(), compiled()
        differing = [key for key, x in expected.items() if not torch.equal(given[key], x)]
        eager, times = milliseconds(call, parts.device), milliseconds(compiled, parts.device)
        counts = [launched(each, parts.device).count for each in (call, compiled)]
    said = (
        f"compiled in {took:.0f} s, {counts[0]} to {counts[1]} kernels,"
        f" {eager:.3f} to {times:.3f} ms launched one by one"
    )
    if parts.recorder is not None:
        parts.begin_recordings()
        recordings = [parts.recorder.record(each) for each in (call, compiled)]
        with parts.launching():
            replays = [milliseconds(each.replay, parts.device) for each in recordings]
        said += f", {replays[0]:.3f} to {replays[1]:.3f} ms captured"
    bits = f"other bits in {', '.join(differing)}" if differing else "bits equal"
    report.done(what, f"{said}, {bits}", seconds=took, kernels=counts, differing=differing)
