"""The time of a full batch: by kind of work, by the slowest kernels, and idle time."""

import itertools
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict
from functools import partial

from model_core.engine import Precision
from model_core.engine.cuda.steps import Tensors

from ..gpu_section import PRECISIONS
from ..plan import DIRECTIONS
from .check import MODELS, Check
from .kernels import Launched, launched
from .parts import Parts
from .report import Report
from .timed import milliseconds

_ORDER: tuple[Precision, ...] = ("float32", "bfloat16", "tf32")
_TOP = 15


def run(check: Check, report: Report) -> None:
    order = _ORDER[:1] if check.quick else _ORDER
    for precision, name, direction in itertools.product(order, MODELS, DIRECTIONS):
        if precision not in PRECISIONS[direction]:
            continue
        what = f"{name} {direction} {precision}"
        if report.in_time(what, 2):
            with report.part(what):
                _profile(report, what, Parts(check, check.model(name), direction, precision))


def _profile(report: Report, what: str, parts: Parts) -> None:
    held: Tensors = {}
    seen: list[Launched] = []
    for part, function in parts.functions():
        call = partial(function, dict(held))
        with parts.launching():
            held |= call()
            eager = milliseconds(call, parts.device)
            seen.append(launched(call, parts.device))
        count, busy = seen[-1].count, seen[-1].milliseconds
        report.done(
            f"{what} {part}",
            f"{count} kernels, {busy:.3f} ms of work, {eager:.3f} ms launched one by one",
            kernels=count,
            busy_ms=busy,
            eager_ms=eager,
        )
    busy = sum(each.milliseconds for each in seen)
    _kinds(report, what, seen)
    _kernels(report, what, seen, busy)
    seconds = parts.config.segment_stride or parts.config.block_samples
    audio = parts.rows * seconds / parts.config.sample_rate
    said = f"{audio / busy * 1000:.0f} audio-seconds a second if never idle"
    if parts.recorder is not None:
        recording = parts.recorder.record(parts.whole)
        with parts.launching():
            replayed = milliseconds(recording.replay, parts.device)
        said += f"; replayed as one {replayed:.3f} ms, {1 - busy / replayed:.0%} of it idle"
    report.done(f"{what} in all", f"{busy:.3f} ms of work, {said}", busy_ms=busy)


def _kinds(report: Report, what: str, seen: Sequence[Launched]) -> None:
    kinds: Counter[str] = Counter()
    for each in seen:
        kinds.update(each.kinds)
    total = sum(kinds.values())
    report.done(
        f"{what} by kind",
        ", ".join(f"{kind} {ms / total:.0%}" for kind, ms in kinds.most_common()),
        milliseconds=dict(kinds),
    )


def _kernels(report: Report, what: str, seen: Sequence[Launched], busy: float) -> None:
    kernels = sorted((k for each in seen for k in each.kernels), key=lambda k: -k.milliseconds)
    top = kernels[:_TOP]
    report.done(
        f"{what} most time",
        "; ".join(f"{k.milliseconds / busy:.0%} {k.name[:40]}" for k in top[:3]),
        kernels=[asdict(kernel) for kernel in top],
    )
    for kernel in top:
        print(f"  {kernel.milliseconds:8.3f} ms {kernel.count:4} times  {kernel.name}")
