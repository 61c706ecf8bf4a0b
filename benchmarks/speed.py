"""Section `speed`: samples to codes and codes to samples, all contenders taking turns."""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import numpy as np
import torch

from model_core.config import CONFIGS

from .agreement import agreement
from .clips import Clip
from .contenders import OURS, PEERS, Contender, MissingContenderError, build
from .footprint import Fit
from .macs import macs_per_second, recurrent_weights
from .models import seeded_model
from .one_run import job_of
from .plan import Case, Plan
from .results import Row, Section
from .roofline import Roofline, roofline
from .table import Column, Table, length
from .timing import paired_ratio, take_turns

_WARM_SECONDS = 60
"""Longer work is timed without a warm-up run."""

TABLE = Table(
    [
        Column("model", 13),
        Column("", 6),
        Column("length", 6),
        Column("threads", 7, 0),
        Column("kbps", 4, 1),
        Column("contender", 12),
        Column("runs", 4, 0),
        Column("median s", 9, 3),
        Column("x real time", 11, 1),
        Column("of limit", 8),
        Column("of roofline", 11),
        Column("ours is", 7),
        Column("same", 20),
    ]
)


def run(plan: Plan, section: Section) -> Iterator[Row]:
    """The rows, one per case and contender, as they come. What is skipped is noted."""
    fit = Fit()
    limits: dict[int, Roofline] = {}
    built: tuple[tuple[str, int], dict[str, Contender]] | None = None
    before = torch.get_num_threads()
    try:
        for case in plan.cases():
            torch.set_num_threads(case.threads)
            if case.threads not in limits:
                limits[case.threads] = roofline(backend=plan.backend)
            key = case.model, case.threads
            if built is None or built[0] != key:
                built = key, _build_all(plan, case.model, section)
            able = dict(_able(built[1], case, fit, section))
            yield from _rows(case, able, plan, limits[case.threads])
    finally:
        torch.set_num_threads(before)


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    ratio = row["ours_is_faster_by"]
    return [
        row["model"], row["direction"], length(row["seconds"]), row["threads"], row["bandwidth"],
        row["contender"], len(row["times"]), row["median_s"], row["times_real_time"],
        f"{row['share_of_limit']:8.0%}", f"{row['share_of_roofline']:11.0%}",
        None if ratio is None else f"{ratio:6.2f}x",
        row["agreement"] or "",
    ]  # fmt: skip


def _build_all(plan: Plan, model: str, section: Section) -> dict[str, Contender]:
    built: dict[str, Contender] = {}
    weights = seeded_model(model)
    for name in plan.contenders:
        try:
            built[name] = build(name, weights, plan.backend)
        except MissingContenderError as error:
            section.note(f"{name} is left out: {error}")
    return built


def _able(
    contenders: dict[str, Contender], case: Case, fit: Fit, section: Section
) -> Iterator[tuple[str, Contender]]:
    """The contenders whose memory for this case fits."""
    for name, contender in contenders.items():
        refusal = fit.refusal(name, case) if name in PEERS else None
        if refusal is None:
            yield name, contender
        else:
            what = f"{case.model} {case.direction} {length(case.seconds)}"
            section.note(f"{name} is left out of {what}: {refusal}")


def _rows(
    case: Case, contenders: dict[str, Contender], plan: Plan, limit: Roofline
) -> Iterator[Row]:
    clip = Clip(CONFIGS[case.model], case.seconds)
    jobs: dict[str, Callable[[], None]] = {}
    outputs: dict[str, list[np.ndarray]] = {}
    for name, contender in contenders.items():
        job = job_of(contender, case.direction, clip, case.bandwidth)
        if case.seconds <= _WARM_SECONDS:
            outputs[name] = []
            job(outputs[name].append)
        jobs[name] = partial(job, lambda out: None)
    same = agreement(case.direction, OURS, outputs)
    outputs.clear()
    times = take_turns(jobs, plan.runs, plan.budget)
    config = CONFIGS[case.model]
    macs = macs_per_second(config, case.direction, case.bandwidth)
    chained = recurrent_weights(config, case.direction) * config.frame_rate if config.causal else 0
    least = limit.seconds(macs, chained)
    for name, seconds in times.items():
        rate = case.seconds / median(seconds)
        compared = name != OURS and OURS in times
        yield {
            "model": case.model,
            "direction": case.direction,
            "seconds": case.seconds,
            "threads": case.threads,
            "bandwidth": case.bandwidth,
            "contender": name,
            "backend": contenders[name].backend,
            "times": seconds,
            "median_s": median(seconds),
            "times_real_time": rate,
            "macs_per_audio_second": macs,
            "limit_macs_per_second": limit.macs,
            "limit_bytes_per_second": limit.bytes,
            "limit_times_real_time": limit.macs / macs,
            "share_of_limit": rate * macs / limit.macs,
            "share_of_roofline": rate * least,
            "ours_is_faster_by": paired_ratio(seconds, times[OURS]) if compared else None,
            "agreement": same.get(name),
        }
