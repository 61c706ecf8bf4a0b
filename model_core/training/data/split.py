"""Splits recordings into training and validation by speaker and by piece.

Whole groups are held out (see `groups`), in the order of a hash of their names, up to about the
wanted share of each category's seconds. A group that is too large for that stays in training. A
category with too few groups (ten files of one person) holds out whole files instead, and a note
says so.
"""

import hashlib
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace

from ...errors import TrainingDataError
from ...flags import Range

VALID_SHARE = Range(0, 0.9)
_EXCESS = 2.0  # times the wanted share: the most that whole groups may take of a category
_LARGEST = 0.35  # the most of a category that is held out if there are few groups


@dataclass(frozen=True)
class Part:
    """What the split knows of a recording."""

    file: str
    category: str
    group: str
    length: int
    split: str | None = None  # "train" or "valid"; None: not decided


@dataclass(frozen=True)
class Split:
    """The parts in their order, all decided, and notes for the user."""

    parts: list[Part]
    notes: list[str]


def split_recordings(
    parts: Sequence[Part], share: float = 0.1, hold_out: Sequence[str] = ()
) -> Split:
    """Decide what is held out for validation: `share` of each category's length, in groups.

    `hold_out` holds out exactly the files whose names (or paths) begin with one of these prefixes.
    A part that is already decided takes its group along. No group is on both sides, except by
    `hold_out` or the manifest; if a category falls back to whole files, each is its own group.
    Raises `SettingsError` for a share outside [0, 0.9], `TrainingDataError` for a prefix that fits
    no file.
    """
    VALID_SHARE.check("the share for validation", share)
    if hold_out:
        return Split(_by_prefix(parts, hold_out), [])
    decided = _follow(parts)
    if share == 0:
        return Split([replace(p, split=p.split or "train") for p in decided], [])
    held = _choose(decided, share)
    decided = [replace(p, split="valid") if p.group in held and not p.split else p for p in decided]
    notes = []
    for category in sorted({p.category for p in decided}):
        if not any(p.category == category and p.split for p in decided):
            decided, note = _by_file(decided, category, share)
            notes.append(note)
    return Split([replace(p, split=p.split or "train") for p in decided], notes)


def _by_prefix(parts: Sequence[Part], prefixes: Sequence[str]) -> list[Part]:
    for prefix in prefixes:
        if not any(_begins(part.file, prefix) for part in parts):
            raise TrainingDataError(f"no recording begins with {prefix!r}, which is to be held out")
    return [
        replace(p, split="valid" if any(_begins(p.file, x) for x in prefixes) else "train")
        for p in parts
    ]


def _begins(file: str, prefix: str) -> bool:
    return file.startswith(prefix) or file.rpartition("/")[2].startswith(prefix)


def _follow(parts: Sequence[Part]) -> list[Part]:
    """Undecided parts follow the decided ones of their group."""
    sides: dict[str, set[str]] = defaultdict(set)
    for part in parts:
        if part.split:
            sides[part.group].add(part.split)
    side = {group: max(splits) for group, splits in sides.items()}  # "valid" before "train"
    return [p if p.split else replace(p, split=side.get(p.group)) for p in parts]


def _choose(parts: Sequence[Part], share: float) -> set[str]:
    """Groups to hold out, so that no category loses much more than its share."""
    total: dict[str, int] = defaultdict(int)
    held: dict[str, int] = defaultdict(int)
    sizes: dict[str, dict[str, int]] = defaultdict(lambda: defaultdict(int))
    for part in parts:
        total[part.category] += part.length
        if part.split == "valid":
            held[part.category] += part.length
        elif part.split is None:
            sizes[part.group][part.category] += part.length
    chosen: set[str] = set()
    for excess in (_EXCESS * share, max(_EXCESS * share, _LARGEST)):
        most = min(excess, (1 + share) / 2)
        for category in sorted(total):
            if most > _EXCESS * share and held[category]:
                continue  # the second round is for categories that got nothing
            for group in sorted(sizes, key=_order):
                if group in chosen or category not in sizes[group]:
                    continue
                if held[category] >= share * total[category]:
                    break
                if all(held[c] + size <= most * total[c] for c, size in sizes[group].items()):
                    chosen.add(group)
                    for c, size in sizes[group].items():
                        held[c] += size
    return chosen


def _by_file(parts: Sequence[Part], category: str, share: float) -> tuple[list[Part], str]:
    """Hold out whole files of a category; at least one, and at least one is trained on."""
    files = sorted((p for p in parts if p.category == category), key=lambda p: _order(p.file))
    if len(files) < 2:
        return list(parts), f"{category}: a single recording, so none is left for validation"
    wanted = share * sum(p.length for p in files)
    chosen: set[str] = set()
    held = 0
    for part in files[:-1]:
        if held >= wanted:
            break
        chosen.add(part.file)
        held += part.length
    result = [
        replace(p, group=f"file {p.file}", split="valid" if p.file in chosen else None)
        if p.category == category
        else p
        for p in parts
    ]
    note = (
        f"{category}: no speaker or piece could be held out whole, so {len(chosen)} of "
        f"{len(files)} files are; their voices or pieces are also trained on"
    )
    return result, note


def _order(name: str) -> bytes:
    return hashlib.blake2b(name.encode(errors="surrogateescape"), digest_size=8).digest()
