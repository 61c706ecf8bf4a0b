"""The same steps through `torch.compile`, which may fuse what lies between convolutions: whether it
works here, what it saves, whether bits stay."""

import itertools
import time
from functools import partial

import torch

from ..plan import DIRECTIONS
from .check import MODELS, Check
from .kernels import launched
from .parts import Parts
from .report import Report
from .timed import milliseconds

_EACH = 15.0  # seconds below which no further part is begun


def run(check: Check, report: Report) -> None:
    if not check.has_gpu:
        report.skipped("torch.compile", "needs CUDA")
        return
    for name, direction in itertools.product(MODELS, DIRECTIONS):
        what = f"{name} {direction}"
        if report.in_time(what, _EACH):
            with report.part(what):
                _parts(report, what, Parts(check, check.model(name), direction))


def _parts(report: Report, name: str, parts: Parts) -> None:
    held: dict[str, torch.Tensor] = {}
    for part, function in parts.functions():
        call, what = partial(function, dict(held)), f"{name} {part}"
        with parts.launching():
            expected = {key: x.clone() for key, x in call().items()}
        if part != "again" and report.in_time(what, _EACH / 2):  # which is the LSTM's alone
            with report.part(what):
                _compiled(report, what, parts, call, expected)
        held |= expected


def _compiled(
    report: Report,
    what: str,
    parts: Parts,
    call: "partial[dict[str, torch.Tensor]]",
    expected: dict[str, torch.Tensor],
) -> None:
    torch._dynamo.reset()
    compiled = torch.compile(call, dynamic=False)
    began = time.perf_counter()
    with parts.launching():
        compiled()
        torch.cuda.synchronize(parts.device)
        took = time.perf_counter() - began
        given = compiled()
        kernels = launched(compiled, parts.device).count
        eager, times = milliseconds(call, parts.device), milliseconds(compiled, parts.device)
        before = launched(call, parts.device).count
    differing = [key for key, x in expected.items() if not torch.equal(given[key], x)]
    said = (
        f"compiled in {took:.0f} s, {before} to {kernels} kernels, {eager:.3f} to {times:.3f} ms"
        f" launched one by one, "
    )
    if parts.recorder is not None:
        parts.begin_recordings()
        plain, other = parts.recorder.record(call), parts.recorder.record(compiled)
        with parts.launching():
            replays = [milliseconds(r.replay, parts.device) for r in (plain, other)]
        said += f"{replays[0]:.3f} to {replays[1]:.3f} ms captured, "
    report.done(
        what,
        said + (f"other bits in {', '.join(differing)}" if differing else "bits equal"),
        seconds=took,
        differing=differing,
    )
