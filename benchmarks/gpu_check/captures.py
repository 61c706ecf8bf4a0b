"""Each part of each step, and each kind of layer alone, as a graph: whether it is captured, and
the time that its replay saves.

If a part is not captured, the rows of its layers show which one is the cause.
"""

import itertools
from collections.abc import Callable
from functools import partial

import torch

from model_core.engine import Precision
from model_core.engine.cuda.capture import Recording
from model_core.engine.cuda.steps import Tensors

from ..gpu_section import PRECISIONS
from ..macs import Direction
from ..plan import DIRECTIONS
from .check import MODELS, Check
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
    recordings = []  # kept, because their memory is shared
    for part, function in parts.functions():
        call, what = partial(function, dict(held)), f"{name} {direction} {precision} {part}"
        with parts.launching():
            outputs = call()  # in case there is no recording
        with report.part(what):
            recording = _looked_at(report, parts, what, call)
            if recording is not None:
                recordings.append(recording)
                outputs = recording.outputs
        held |= outputs
    if parts.recorder is not None:
        taken = _reserved(parts) - before
        report.done(
            f"{name} {direction} {precision} memory", f"{taken / 2**30:.2f} GiB", bytes=taken
        )


def _looked_at(
    report: Report, parts: Parts, what: str, call: Callable[[], Tensors]
) -> Recording | None:
    """The row of a function, and its recording on a GPU. Raises what a capture raises."""
    with parts.launching():
        eager = milliseconds(call, parts.device)
    if parts.recorder is None:
        report.done(what, f"{eager:.3f} ms, not captured: needs CUDA", eager_ms=eager)
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
        f"{eager:.3f} ms, captured: {replayed:.3f} ms, bits {'equal' if same else 'DIFFER'}",
        eager_ms=eager,
        replay_ms=replayed,
    )
    return recording


def _layers(report: Report, parts: Parts, seen: set[str]) -> None:
    """The layers not seen before."""
    with parts.launching():
        layers = [(what, call) for what, call in layers_of(parts) if what not in seen]
    for what, call in layers:
        if what not in seen and report.in_time(what):
            seen.add(what)
            if parts.recorder is not None:
                parts.begin_recordings()
            with report.part(what):
                _looked_at(report, parts, what, call)


def _reserved(parts: Parts) -> int:
    """Bytes of the device's memory that this process holds after freeing what it can."""
    if parts.recorder is None:
        return 0
    torch.cuda.synchronize(parts.device)
    torch.cuda.empty_cache()
    return torch.cuda.memory_reserved(parts.device)
