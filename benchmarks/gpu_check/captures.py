"""Each part of each step, and each kind of layer alone, as a graph: whether it is captured, of how
many kernels it is, and what replaying it saves.

A part that is not captured names the layer that is to blame below it.
"""

import itertools
from collections.abc import Callable
from functools import partial
from typing import Any

import torch

from model_core.engine import Precision
from model_core.engine.fixed.steps import Tensors

from ..gpu_section import PRECISIONS
from ..macs import Direction
from ..plan import DIRECTIONS
from .check import MODELS, Check
from .kernels import launched
from .parts import Parts
from .report import Report
from .timed import milliseconds
from .walk import layers_of

_ORDER: tuple[Precision, ...] = ("float32", "bfloat16", "tf32")


def run(check: Check, report: Report) -> None:
    order = _ORDER[:1] if check.quick else _ORDER
    for precision, name, direction in itertools.product(order, MODELS, DIRECTIONS):
        if precision in PRECISIONS[direction] and report.in_time(f"{name} {direction}"):
            with report.part(f"{name} {direction} {precision}"):
                _parts(check, report, name, direction, precision)
    seen: set[str] = set()
    for name, direction in itertools.product(MODELS, DIRECTIONS):
        if report.in_time(f"{name} {direction} by layers"):
            with report.part(f"{name} {direction} by layers"):
                _layers(report, Parts(check, check.model(name), direction), seen)


def _parts(
    check: Check, report: Report, name: str, direction: Direction, precision: Precision
) -> None:
    parts = Parts(check, check.model(name), direction, precision)
    before = _reserved(parts)
    held: Tensors = {}
    for part, function in parts.functions():
        call, what = partial(function, dict(held)), f"{name} {direction} {precision} {part}"
        outputs = None
        with report.part(what):
            outputs = _looked_at(report, parts, what, call)
        if outputs is None:  # go on with what a plain run gives
            with parts.launching():
                outputs = call()
        held |= outputs
    if parts.recorder is not None:
        taken = _reserved(parts) - before
        report.done(
            f"{name} {direction} {precision} memory", f"{taken / 2**30:.2f} GiB", bytes=taken
        )


def _looked_at(
    report: Report, parts: Parts, what: str, call: Callable[[], Tensors]
) -> Tensors | None:
    """Row of a function; what a recording of it writes into. Raises what a capture raises."""
    with parts.launching():
        eager = milliseconds(call, parts.device)
        kernels = launched(call, parts.device)
    values: dict[str, Any] = {"eager_ms": eager, "kernels": kernels.count}
    said = f"{kernels.count} kernels, {eager:.3f} ms"
    if parts.recorder is None:
        report.done(what, f"{said}, not captured: needs CUDA", **values)
        return None
    recording = parts.recorder.record(call)
    with parts.launching():
        expected = call()
        recording.replay()
        given = {n: x.clone() for n, x in recording.outputs.items()}
        replayed = milliseconds(recording.replay, parts.device)
    torch.cuda.synchronize(parts.device)
    same = all(torch.equal(given[key], x) for key, x in expected.items())
    report.check(
        what,
        same,
        f"{said}, captured: {replayed:.3f} ms, bits {'equal' if same else 'DIFFER'}",
        replay_ms=replayed,
        **values,
    )
    return recording.outputs


def _layers(report: Report, parts: Parts, seen: set[str]) -> None:
    """Those that were not seen before."""
    with parts.launching():
        layers = [(what, call) for what, call in layers_of(parts) if what not in seen]
    for what, call in layers:
        if what not in seen and report.in_time(what):
            seen.add(what)
            with report.part(what):
                _looked_at(report, parts, what, call)


def _reserved(parts: Parts) -> int:
    """Bytes of the device's memory that this process holds, once it has let go of what it can."""
    if parts.recorder is None:
        return 0
    torch.cuda.synchronize(parts.device)
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(parts.device)
