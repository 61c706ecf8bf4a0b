"""Section `lm`: samples to files and back with the language model and entropy coding.

On one thread: the language model uses one on both sides, for equal bits. Both contenders read the
same file, written by the first of them.
"""

from collections.abc import Callable, Iterator
from functools import partial
from statistics import median
from typing import Any

import torch

from model_core.config import CONFIGS

from .agreement import same_file, signal_to_noise
from .clips import Clip
from .contenders import OURS, MissingContenderError
from .contenders.files import FileCodec, build_files
from .models import seeded_lm, seeded_model
from .plan import DEFAULT_BANDWIDTH, Plan
from .results import Row, Section
from .serving.trial import CALLS
from .table import Column, Table, length
from .timing import paired_ratio, take_turns

TABLE = Table(
    [
        Column("model", 13),
        Column("", 10),
        Column("length", 6),
        Column("kbps", 4, 1),
        Column("contender", 9),
        Column("runs", 4, 0),
        Column("median s", 9, 3),
        Column("x real time", 11, 2),
        Column("ours is", 7),
        Column("same", 20),
    ]
)


def run(plan: Plan, section: Section) -> Iterator[Row]:
    """A row for each model, length, bandwidth, direction and contender, as they come."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        for model in plan.models:
            codecs = dict(_build_all(plan, model, section))
            offered = CONFIGS[model].target_bandwidths
            for seconds in plan.lm_lengths:
                for bandwidth in plan.bandwidths or (DEFAULT_BANDWIDTH,):
                    if bandwidth in offered and codecs:
                        clip = Clip(CONFIGS[model], seconds)
                        yield from _rows(plan, clip, bandwidth, codecs)
    finally:
        torch.set_num_threads(before)


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    ratio = row["ours_is_faster_by"]
    return [
        row["model"], row["direction"], length(row["seconds"]), row["bandwidth"], row["contender"],
        len(row["times"]), row["median_s"], row["times_real_time"],
        None if ratio is None else f"{ratio:6.2f}x",
        row["agreement"] or "",
    ]  # fmt: skip


def _build_all(plan: Plan, name: str, section: Section) -> Iterator[tuple[str, FileCodec]]:
    model, lm = seeded_model(name), seeded_lm(name)
    for contender in plan.contenders:
        try:
            codec = build_files(contender, model, lm, plan.backend)
        except MissingContenderError as error:
            section.note(f"{contender} is left out: {error}")
            continue
        if codec is None:
            section.note(f"{contender} is left out: it has no language model")
        else:
            yield contender, codec


def _rows(plan: Plan, clip: Clip, bandwidth: float, codecs: dict[str, FileCodec]) -> Iterator[Row]:
    samples = clip.whole()
    files = {name: codec.compress(samples, bandwidth) for name, codec in codecs.items()}
    file = next(iter(files.values()))
    for direction in plan.directions:
        jobs: dict[str, Callable[[], object]]
        if direction == "encode":
            jobs = {n: partial(c.compress, samples, bandwidth) for n, c in codecs.items()}
            same = {name: same_file(file, other) for name, other in files.items()}
        else:
            jobs = {n: partial(c.decompress, file) for n, c in codecs.items()}
            heard = {name: codec.decompress(file) for name, codec in codecs.items()}
            one = next(iter(heard.values()))
            same = {name: signal_to_noise(one, other) for name, other in heard.items()}
        times = take_turns(jobs, plan.runs, plan.budget)
        for name, seconds in times.items():
            compared = name != OURS and OURS in times
            yield {
                "model": clip.config.name,
                "direction": CALLS[direction],
                "seconds": clip.seconds,
                "threads": 1,
                "bandwidth": bandwidth,
                "contender": name,
                "backend": codecs[name].backend,
                "bytes": len(files[name]),
                "times": seconds,
                "median_s": median(seconds),
                "times_real_time": clip.seconds / median(seconds),
                "ours_is_faster_by": paired_ratio(seconds, times[OURS]) if compared else None,
                "agreement": same[name] if compared else None,
            }
