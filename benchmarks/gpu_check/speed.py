"""Audio-seconds per second: by rows and precision, of a single stream, beside eager networks, and
with cuDNN's search for algorithms."""

import itertools
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from statistics import median
from unittest.mock import patch

import numpy as np
import torch

from model_core.engine import (
    DecodeItem,
    EncodedBlock,
    EncodeItem,
    EngineOptions,
    Precision,
    StreamState,
)
from model_core.engine.cuda import CudaEngine, capture
from model_core.engine.modules import Multiplication, arithmetic
from model_core.errors import EncodecError
from model_core.model import load_model

from ..agreement import agreement
from ..clips import sound
from ..contenders import MissingContenderError
from ..contenders.reference import reference_model
from ..gpu_section import PRECISIONS, Eager, Setting, measured, on_the_cpu, outputs_of
from ..macs import Direction
from ..plan import DEFAULT_BANDWIDTH, DIRECTIONS, PRESETS, Plan
from ..results import Row
from ..roofline import device_roofline, roofline
from ..timing import take_turns
from .check import MODELS, Check
from .report import Report

_ORDER: tuple[tuple[Precision, int], ...] = (
    ("float32", 32), ("float32", 128), ("bfloat16", 32), ("tf32", 32), ("float32", 8),
    ("bfloat16", 128), ("tf32", 128), ("float32", 256), ("float32", 1), ("bfloat16", 256),
    ("tf32", 256), ("bfloat16", 8), ("tf32", 8), ("bfloat16", 1), ("tf32", 1),
)  # fmt: skip
"""The most important come first: the last ones are skipped if time is short."""

_RUNS, _BUDGET = 3, 1.0  # of each setting; seconds after which no further run starts
_LONE = (32, 128)
_EACH = 4.0  # seconds that must be left to start a setting


def run(check: Check, report: Report) -> None:
    plan, limits = _plan(check), _limits(check)
    models = {name: check.model(name) for name in MODELS}
    wanted = {
        (name, direction): on_the_cpu(models[name], direction)
        for name, direction in itertools.product(MODELS, DIRECTIONS)
    }

    def of_ours(precision: Precision, rows: int, note: str = "") -> None:
        for name, direction in itertools.product(MODELS, DIRECTIONS):
            what = f"{name} {direction} {precision}, {rows} rows{note}"
            if precision in PRECISIONS[direction] and report.in_time(what, _EACH):
                with report.part(what):
                    setting = Setting(direction, precision, rows, check.device)
                    given = models[name], setting, plan, limits[precision], wanted[name, direction]
                    row = measured(*given, most_blocks=2 if check.quick else 10)
                    report.done(what, _said(row), **row)

    order = (("float32", check.rows),) if check.quick else _ORDER
    for precision, rows in order[:2]:
        of_ours(precision, rows)
    for rows in (check.rows,) if check.quick else _LONE:
        _lone(check, report, rows)
    _eager(check, report, limits["float32"])
    for precision, rows in order[2:4]:
        of_ours(precision, rows)
    with report.part("trained weights"):
        _trained(check, report)
    if check.has_gpu:
        with _searching():
            of_ours("float32", check.rows, ", algorithms searched")
    for precision, rows in order[4:]:
        of_ours(precision, rows)


def _plan(check: Check) -> Plan:
    return replace(PRESETS["quick"], runs=1 if check.quick else _RUNS, budget=_BUDGET)


def _limits(check: Check) -> dict[Precision, float]:
    precisions = PRECISIONS["decode"]
    if check.has_gpu:
        return {precision: device_roofline(check.device, precision) for precision in precisions}
    return dict.fromkeys(precisions, roofline(0.1).macs)


def _said(row: Row) -> str:
    taken = row["device_bytes"]
    memory = "" if taken is None else f", {taken / 2**30:.1f} GiB"
    same = f", {row['agreement']} beside the CPU" if row["agreement"] else ""
    return (
        f"{row['times_real_time']:.0f} audio-seconds a second,"
        f" {row['share_of_limit']:.0%} of the limit{memory}{same}"
    )


@contextmanager
def _searching() -> Iterator[None]:
    """Engines made inside use the algorithms that cuDNN finds fastest, which may differ in the next
    process: only for comparison."""

    @contextmanager
    def searched(device: torch.device, multiplication: Multiplication = "ieee") -> Iterator[None]:
        with arithmetic(device, multiplication):
            torch.backends.cudnn.benchmark = True
            yield

    with patch.object(capture, "arithmetic", searched):
        yield


def _lone(check: Check, report: Report, rows: int) -> None:
    """One stream, whose blocks are the rows: four batches per call."""
    name, plan = "encodec_24khz", _plan(check)
    for direction in DIRECTIONS:
        what = f"{name} {direction}, one stream alone, {rows} rows"
        if report.in_time(what, _EACH):
            with report.part(what):
                engine = CudaEngine(check.model(name), check.device, EngineOptions(max_batch=rows))
                job = _lone_job(engine, direction, 4 * rows)
                job()
                seconds = median(take_turns({"": job}, plan.runs, plan.budget)[""])
                rate = 4 * rows / seconds
                report.done(what, f"{rate:.0f} audio-seconds a second", times_real_time=rate)


def _lone_job(engine: CudaEngine, direction: Direction, blocks: int) -> Callable[[], object]:
    """Encodes or decodes `blocks` blocks of one stream in one call."""
    config = engine.config
    books = config.codebooks_for(DEFAULT_BANDWIDTH)
    if direction == "encode":
        piece = sound(config.channels, engine.block_samples, config.sample_rate)

        def encode() -> object:
            one = StreamState()
            return engine.encode([EncodeItem(piece, books, False, one) for _ in range(blocks)])

        return encode
    codes = np.random.default_rng(0).integers(0, config.bins, (books, engine.block_frames))

    def decode() -> object:
        one = StreamState()
        return engine.decode([DecodeItem(EncodedBlock(codes), False, one) for _ in range(blocks)])

    return decode


def _trained(check: Check, report: Report) -> None:
    """The agreement of each precision with the CPU, with trained instead of seeded weights."""
    name = "encodec_24khz"
    try:
        model = load_model(name, "bundled")
    except EncodecError as error:
        report.skipped("trained weights", str(error))
        return
    for direction in DIRECTIONS:
        wanted = on_the_cpu(model, direction)
        for precision in PRECISIONS[direction][: 1 if check.quick else None]:
            what = f"{name} {direction} {precision}, trained weights"
            if report.in_time(what, _EACH):
                given = outputs_of(Setting(direction, precision, check.rows, check.device), model)
                same = agreement(direction, "torch", {"ours": given, "torch": wanted})["ours"]
                report.done(what, f"{same} beside the CPU")


def _eager(check: Check, report: Report, limit: float) -> None:
    """Plain networks on batches of whole clips: ours, and the reference's if installed."""
    contenders = ("nn",) if check.quick else ("nn", "reference")  # which has one width
    seconds = 1.0 if check.quick else 10.0
    for name, direction in itertools.product(MODELS, DIRECTIONS):
        model = check.model(name)
        for contender in contenders:
            what = f"{name} {direction} {contender}, eager, {check.rows} clips"
            if not report.in_time(what, _EACH):
                continue
            with report.part(what):
                try:
                    network = (
                        model if contender == "nn" else reference_model(name, model.state_dict())
                    )
                except MissingContenderError as error:
                    report.skipped(what, str(error))
                    continue
                eager = Eager(
                    contender, network, model.config, direction, check.device, check.rows, seconds
                )
                row = eager.measured(_plan(check), limit)
                report.done(what, _said(row), **row)
