"""The files of a folder to train on, and what is known about each before it is read.

They are listed in `manifest.csv`: the columns `file` and `category`, and optionally `speaker`,
`piece`, `group` (recordings that share one of these belong together) and `split` (`train` or
`valid`). Without a manifest, all files that are not hidden count; folders named speech, music or
environment give the category.
"""

import csv
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

from ...errors import TrainingDataError

MANIFEST = "manifest.csv"
CATEGORIES = ("speech", "music", "environment")
_SPLITS = {"": None, "train": "train", "valid": "valid", "validation": "valid", "test": "valid"}


@dataclass(frozen=True)
class Listed:
    """A file to read. `keys` name what it shares with other files (empty: use its name)."""

    path: Path
    name: str  # in the cache, with slashes; begins with `root`
    category: str
    keys: tuple[str, ...] = ()
    split: str | None = None  # if the manifest gives it
    root: str = ""  # of several folders, its own: "name/"


def list_folders(
    folders: Sequence[Path], category: str, without: Path | None = None
) -> list[Listed]:
    """All files of `folders`, ordered by name; `category` is for those without a known one.

    With several folders, names begin with the folder's. Files in the folder `without` count only if
    a manifest names them. Raises `TrainingDataError` for a missing folder, two folders with the
    same name, or a broken manifest.
    """
    names = [folder.resolve().name for folder in folders]
    if len(set(names)) < len(names):
        raise TrainingDataError(f"two of the folders have the same name: {', '.join(names)}")
    listed: list[Listed] = []
    for folder, name in zip(folders, names, strict=True):
        if not folder.is_dir():
            raise TrainingDataError(f"{folder} is no folder")
        prefix = f"{name}/" if len(folders) > 1 else ""
        if (folder / MANIFEST).exists():
            listed += _from_manifest(folder, prefix)
        else:
            listed += _from_names(folder, prefix, category, without)
    return sorted(listed, key=lambda entry: entry.name)


def _from_names(folder: Path, prefix: str, default: str, without: Path | None) -> list[Listed]:
    listed = []
    left_out = None if without is None else _place_in(folder.resolve(), without.resolve())
    for path in folder.rglob("*"):
        place = PurePosixPath(path.relative_to(folder).as_posix())
        if left_out is not None and place.is_relative_to(left_out):
            continue
        if path.is_file() and not any(part.startswith(".") for part in place.parts):
            named = (folder.resolve().name, *place.parts[:-1])
            known = [part.lower() for part in named if part.lower() in CATEGORIES]
            category = known[-1] if known else default
            listed.append(Listed(path, f"{prefix}{place}", category, root=prefix))
    return listed


def _place_in(folder: Path, inner: Path) -> PurePosixPath | None:
    """The path of `inner` below `folder`; None if it is not below."""
    if folder not in inner.parents:
        return None
    return PurePosixPath(inner.relative_to(folder).as_posix())


def _from_manifest(folder: Path, prefix: str) -> list[Listed]:
    manifest = folder / MANIFEST
    try:
        with manifest.open(newline="", encoding="utf-8-sig") as file:
            rows = csv.DictReader(file)
            missing = {"file", "category"} - set(rows.fieldnames or ())
            if missing:
                raise TrainingDataError(f"{manifest} has no column {' and '.join(sorted(missing))}")
            listed = [_row(row, manifest, rows.line_num, prefix) for row in rows]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise TrainingDataError(f"{manifest} cannot be read: {error}") from error
    if len({entry.name for entry in listed}) < len(listed):
        raise TrainingDataError(f"{manifest} names a file twice")
    return listed


def _row(row: dict[str, str | None], manifest: Path, line: int, prefix: str) -> Listed:
    values = {key: (value or "").strip() for key, value in row.items() if isinstance(value, str)}
    name, category = values.get("file", ""), values.get("category", "").lower()
    if not name or not category:
        raise TrainingDataError(f"{manifest}, line {line}: the file or its category is missing")
    split = values.get("split", "").lower()
    if split not in _SPLITS:
        raise TrainingDataError(f"{manifest}, line {line}: split is train or valid, not {split!r}")
    keys = tuple(
        f"{column} {values[column]}"
        for column in ("speaker", "piece", "group")
        if values.get(column)
    )
    place = PurePosixPath(name)
    path = manifest.parent / place
    return Listed(path, f"{prefix}{place}", category, keys, _SPLITS[split], prefix)
