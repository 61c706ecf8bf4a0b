"""Section `memory`: the peak growth of a process, each contender in its own."""

from collections.abc import Iterator
from typing import Any

from .contenders import OURS, PEERS
from .footprint import Fit, FootprintError, footprint
from .plan import Plan
from .results import Row, Section
from .table import Column, Table, length

TABLE = Table(
    [
        Column("model", 13),
        Column("", 6),
        Column("length", 6),
        Column("contender", 12),
        Column("MiB at the peak, above idle", 27, 0),
    ]
)


def run(plan: Plan, section: Section) -> Iterator[Row]:
    """One row per model, direction, length and contender, with the fewest threads."""
    fit = Fit()
    done = set()
    for case in plan.cases():
        key = case.model, case.direction, case.seconds
        if case.threads != min(plan.threads) or key in done:
            continue
        done.add(key)
        for name in plan.contenders:
            refusal = fit.refusal(name, case) if name in PEERS else None
            if refusal is None:
                try:
                    grown = footprint(name, case, plan.backend if name == OURS else None)
                except FootprintError as error:
                    refusal = str(error)
            if refusal is not None:
                what = f"{case.model} {case.direction} {length(case.seconds)}"
                section.note(f"{name} is left out of {what}: {refusal}")
                continue
            yield {
                "model": case.model,
                "direction": case.direction,
                "seconds": case.seconds,
                "bandwidth": case.bandwidth,
                "threads": case.threads,
                "contender": name,
                "peak_above_idle_bytes": grown,
            }


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    return [
        row["model"], row["direction"], length(row["seconds"]), row["contender"],
        row["peak_above_idle_bytes"] / 2**20,
    ]  # fmt: skip
