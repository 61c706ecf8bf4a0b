"""Which output is made of what, and which are there already."""

import hashlib
import json
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from itertools import groupby
from typing import Literal

from model_core.audio import FORMATS
from model_core.cli.suffixes import ECDC
from model_core.errors import EncodecError

from .coding import Conversion
from .parts import stem, tar_key
from .report import Outcome
from .sources import TAR, Item
from .store import Store

PARQUET = ".parquet"
Kind = Literal["files", "tar", "parquet"]


class PlanError(EncodecError):
    """A destination that holds something else."""


@dataclass(frozen=True)
class Destination:
    """What DST means: a folder of files, or, if it ends in `.tar` or `.parquet`, the parts of a
    set in its folder."""

    url: str
    """Of the folder."""
    kind: Kind
    stem: str = ""
    """How the names of parts begin."""


@dataclass(frozen=True)
class PartSize:
    """A part ends with the item that reaches one of these."""

    items: int
    bytes: int


@dataclass(frozen=True)
class Job:
    """One output and the items it is made of."""

    number: int
    target: str
    """Relative to the destination."""
    items: tuple[Item, ...]

    @property
    def size(self) -> int:
        """Bytes of its items, as far as that is known."""
        return sum(item.size or 0 for item in self.items)


@dataclass(frozen=True)
class Plan:
    """What is to be done, the largest first, and what needs no work."""

    jobs: list[Job]
    outcomes: list[Outcome]


def destination_of(url: str) -> Destination:
    """`out`, `out/NAME.tar`, `out/NAME.parquet`."""
    folder, _, name = url.rpartition("/")
    for kind, suffix in (("tar", TAR), ("parquet", PARQUET)):
        if name.lower().endswith(suffix) and len(name) > len(suffix):
            return Destination(folder or "/", kind, name[: -len(suffix)])  # type: ignore[arg-type]
    return Destination(url, "files")


def plan_files(
    items: Sequence[Item],
    there: set[str],
    place: Callable[[str], str],
    conversion: Conversion,
    overwrite: bool,
) -> Plan:
    """A file for each item, named after it. An item whose output another one has, or is, or that is
    listed again, is not done. `place` says where an output lies."""

    def target_of(item: Item) -> str:
        return stem(item.name) + (FORMATS[conversion.output].suffix if item.compressed else ECDC)

    jobs: list[Job] = []
    kept, outcomes = _distinct(items, target_of)
    inputs = {item.url for item in items}
    for item in kept:
        target = target_of(item)
        if place(target) in inputs:
            reason = f"its output {target} is also an input"
            outcomes.append(Outcome(item.path, "failed", reason))
        elif target in there and not overwrite:
            outcomes.append(Outcome(item.path, "skipped", f"{target} is there", target=target))
        else:
            jobs.append(Job(len(jobs), target, (item,)))
    return Plan(_largest_first(jobs), outcomes)


def _distinct(
    items: Sequence[Item], target_of: Callable[[Item], str]
) -> tuple[list[Item], list[Outcome]]:
    """The first item of each output; the others have failed, unless they are the same one."""
    taken: dict[str, Item] = {}
    outcomes: list[Outcome] = []
    for item in items:
        target = target_of(item)
        first = taken.setdefault(target, item)
        if (first.url, first.offset) != (item.url, item.offset):
            reason = f"its output {target} is already that of {first.path}"
            outcomes.append(Outcome(item.path, "failed", reason))
    return list(taken.values()), outcomes


def plan_parts(
    items: Sequence[Item],
    store: Store,
    there: set[str],
    destination: Destination,
    conversion: Conversion,
    size: PartSize,
    columns: Sequence[str],
    overwrite: bool,
) -> Plan:
    """Parts of a fixed range of items each, those of a split together: `NAME-train-00000-of-00004`.

    A record beside the parts says of which items and options they are made, so that they are never
    mixed with others: raises `PlanError` where it says something else, unless `overwrite`, and for
    splits whose names are the same in a file's name.
    """
    outcomes: list[Outcome] = []
    if destination.kind == "tar":
        kept, outcomes = _distinct(items, lambda item: tar_key(item.name))
        items = kept
    splits = [
        (split, _ranges(list(some), size))
        for split, some in groupby(sorted(items, key=lambda i: i.split or ""), lambda i: i.split)
    ]
    suffix = TAR if destination.kind == "tar" else PARQUET
    begin = destination.stem
    jobs: list[Job] = []
    named: dict[str, str | None] = {}
    for split, ranges in splits:
        name = f"{begin}-{_safe(split)}" if split else begin
        if named.setdefault(name, split) != split:
            raise PlanError(f"the splits {named[name]} and {split} would both be called {name}")
        for number, some in enumerate(ranges):
            target = f"{name}-{number:05d}-of-{len(ranges):05d}{suffix}"
            jobs.append(Job(len(jobs), target, tuple(some)))
    record = f".{begin}{suffix}.encodec-batch.json"
    digest = _digest(jobs, conversion, columns)
    before = store.read(record)
    known = None if before is None else json.loads(before)
    old = set() if known is None else set(known["parts"]) & there
    if known is not None and known["digest"] != digest and old and not overwrite:
        raise PlanError(
            f"the parts of {store.place(begin + suffix)} were made of other sources or with other "
            "options; --overwrite makes them anew"
        )
    if overwrite or known is None or known["digest"] != digest:
        for name in sorted(old):
            store.remove(name)
        there = there - old
        if known is None and (taken := sorted({job.target for job in jobs} & there)):
            raise PlanError(f"{store.place(taken[0])} is there, and nothing says what made it")
        with store.writing(record) as file:
            file.write(json.dumps({"digest": digest, "parts": [j.target for j in jobs]}).encode())
    outcomes += [
        Outcome(item.path, "skipped", f"{job.target} is there", target=job.target)
        for job in jobs
        if job.target in there
        for item in job.items
    ]
    return Plan(_largest_first([job for job in jobs if job.target not in there]), outcomes)


def _ranges(items: Sequence[Item], size: PartSize) -> list[list[Item]]:
    ranges: list[list[Item]] = []
    held = 0
    for item in items:
        if not ranges or len(ranges[-1]) >= size.items or held >= size.bytes:
            ranges.append([])
            held = 0
        ranges[-1].append(item)
        held += item.size or 0
    return ranges


def _largest_first(jobs: Sequence[Job]) -> list[Job]:
    """So that no long one is left alone at the end."""
    return sorted(jobs, key=lambda job: -job.size)


def _digest(jobs: Sequence[Job], conversion: Conversion, columns: Sequence[str]) -> str:
    sha = hashlib.sha256(json.dumps([asdict(conversion), list(columns)]).encode())
    for job in jobs:
        items = [(item.path, item.split, item.size) for item in job.items]
        sha.update(json.dumps([job.target, items]).encode())
    return sha.hexdigest()


def _safe(split: str) -> str:
    """For a file's name."""
    return "".join(c if c.isalnum() or c in "._" else "_" for c in split)
