"""Which recordings belong together: those of one speaker, and those of one piece.

By the manifest's columns, if it has them; else by the files' folders; else by the start of the
file name (`sp_anna_003.flac` belongs to `sp_anna`).
"""

import re
from collections.abc import Sequence
from pathlib import PurePosixPath

from .listing import CATEGORIES, Listed

_ENOUGH = 4  # a level with this many folders is the level of speakers or pieces
# "name_003", "name-12b", "name (2)", "name part 3", "name_seg04"
_NUMBER = re.compile(
    r"[\s_.\-]*(?:\(?(?:seg(?:ment)?|part|take|chunk|clip|track|no|nr)?[\s_.\-]*\d+[a-z]?\)?)$",
    re.IGNORECASE,
)


def groups_of(listed: Sequence[Listed]) -> list[str]:
    """The group of each file. Files that share a speaker or a piece are in one group."""
    by_name: dict[str, str] = {}
    for root in {entry.root for entry in listed}:
        names = [e.name.removeprefix(root) for e in listed if e.root == root and not e.keys]
        for name, group in zip(names, _groups_by_name(names), strict=True):
            by_name[root + name] = root + group
    keys = [entry.keys or (by_name[entry.name],) for entry in listed]
    above: dict[str, str] = {}

    def top(key: str) -> str:
        while above.setdefault(key, key) != key:
            key = above[key]
        return key

    for first, *others in keys:
        for other in others:
            a, b = sorted((top(first), top(other)))
            above[b] = a  # the alphabetically first name is the group's
    return [top(own[0]) for own in keys]


def _groups_by_name(names: Sequence[str]) -> list[str]:
    """Groups by the highest folder level that has several, without the categories' own folders."""
    folders = [
        tuple(p for p in PurePosixPath(name).parts[:-1] if p.lower() not in CATEGORIES)
        for name in names
    ]
    level = _telling_level(folders)
    shared = _shared(folders)
    return [
        "/".join(parts[:level]) if len(parts) > shared else _prefix(name)
        for name, parts in zip(names, folders, strict=True)
    ]


def _telling_level(folders: Sequence[tuple[str, ...]]) -> int:
    """The first level with enough different folders, else the deepest."""
    depth = max((len(parts) for parts in folders), default=0)
    for level in range(1, depth):
        if len({parts[:level] for parts in folders if len(parts) >= level}) >= _ENOUGH:
            return level
    return depth


def _shared(folders: Sequence[tuple[str, ...]]) -> int:
    """The number of leading folders that all paths share."""
    count = 0
    while all(len(f) > count for f in folders) and len({f[count] for f in folders}) == 1:
        count += 1
    return count


def _prefix(name: str) -> str:
    """The name without its suffix and without a final number."""
    place = PurePosixPath(name)
    stem = _NUMBER.sub("", place.stem)
    folder = "" if str(place.parent) == "." else f"{place.parent}/"
    return f"{folder}{stem}" or place.stem
