"""Where the time of a full batch goes: kinds of work, the kernels that take most, idle time."""

import itertools
from dataclasses import asdict

from model_core.engine import Precision

from ..gpu_section import PRECISIONS
from ..plan import DIRECTIONS
from .check import MODELS, Check
from .kernels import launched
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
    with parts.launching():
        for _ in range(3):
            parts.whole()
        eager = milliseconds(parts.whole, parts.device)
        seen = launched(parts.whole, parts.device)
    busy = seen.milliseconds
    audio = parts.rows * (parts.config.segment_stride or parts.config.block_samples)
    rate = audio / parts.config.sample_rate / (busy / 1000)
    report.done(
        what,
        f"{seen.count} kernels, {busy:.3f} ms of work, {eager:.3f} ms launched one by one;"
        f" {rate:.0f} audio-seconds a second if never idle",
        kernels=seen.count,
        busy_ms=busy,
        eager_ms=eager,
    )
    total = sum(seen.kinds.values())
    shares = {kind: ms / total for kind, ms in seen.kinds.items()}
    report.done(
        f"{what} by kind",
        ", ".join(f"{kind} {share:.0%}" for kind, share in shares.items()),
        milliseconds=seen.kinds,
    )
    if parts.recorder is not None:
        recording = parts.recorder.record(parts.whole)
        with parts.launching():
            replayed = milliseconds(recording.replay, parts.device)
            again = launched(recording.replay, parts.device)
        work = again.milliseconds or busy
        report.done(
            f"{what} replayed",
            f"{replayed:.3f} ms, {1 - work / replayed:.0%} idle between kernels",
            replay_ms=replayed,
            busy_ms=again.milliseconds,
            kernels=again.count,
        )
    top = seen.kernels[:_TOP]
    report.done(
        f"{what} most time",
        "; ".join(f"{k.milliseconds / busy:.0%} {k.name[:40]}" for k in top[:3]),
        kernels=[asdict(kernel) for kernel in top],
    )
    for kernel in top:
        print(f"  {kernel.milliseconds:8.3f} ms {kernel.count:4} times  {kernel.name}")
