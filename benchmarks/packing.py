"""Section `packing`: an hour of codes to bytes and back, beside the reference's packer."""

import io
from collections.abc import Callable, Iterator
from importlib import import_module
from importlib.util import find_spec
from statistics import median
from typing import Any

import numpy as np

from model_core.ecdc import BitPacker, BitUnpacker

from .plan import Plan
from .results import Row, Section
from .table import Column, Table
from .timing import take_turns

TABLE = Table(
    [Column("an hour of codes at 24 kbps", 27), Column("seconds", 9, 3), Column("ours is", 8)]
)
_BITS = 10
_CODES = 3600 * 75 * 32


def run(plan: Plan, section: Section) -> Iterator[Row]:
    """This project packs and unpacks the hour; the reference a minute, times 60."""
    hour = np.random.default_rng(0).integers(0, 1024, _CODES)
    minute = hour[: len(hour) // 60].tolist()
    packed = BitPacker(_BITS).push(hour)

    def unpack() -> None:
        unpacker = BitUnpacker(_BITS)
        unpacker.feed(packed)
        unpacker.pull(len(hour))

    jobs: dict[str, Callable[[], object]] = {
        "pack": lambda: BitPacker(_BITS).push(hour),
        "unpack": unpack,
    }
    if find_spec("encodec") is None:
        section.note("the reference is left out: encodec 0.1.1 is not installed")
    else:
        reference = import_module("encodec.binary").BitPacker

        def pack_minute() -> None:
            packer = reference(_BITS, io.BytesIO())
            for value in minute:
                packer.push(value)
            packer.flush()

        jobs["reference pack"] = pack_minute
    times = {name: median(runs) for name, runs in take_turns(jobs, plan.runs, plan.budget).items()}
    if "reference pack" in times:
        times["reference pack"] *= 60
    for name, seconds in times.items():
        ratio = seconds / times["pack"] if name == "reference pack" else None
        yield {"what": name, "seconds": seconds, "ours_is_faster_by": ratio}


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    ratio = row["ours_is_faster_by"]
    return [row["what"], row["seconds"], None if ratio is None else f"{ratio:.0f}x"]
