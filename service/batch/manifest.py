"""Lists of recordings: CSV (and TSV), JSON lines, Parquet."""

import csv
import io
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Any

from model_core.errors import EncodecError

MANIFESTS = {".csv", ".tsv", ".jsonl", ".ndjson", ".parquet"}
_PATHS = ("path", "file", "file_name", "filename", "audio_filepath", "audio", "url")
"""Columns that may hold the paths, the first that there is."""
_SPLIT = "split"


class ManifestError(EncodecError):
    """A manifest that does not say which files it means."""


@dataclass(frozen=True)
class Row:
    """A file of a manifest."""

    path: str
    split: str | None


def read_manifest(
    fs: Any, place: str, path_column: str | None = None, split_column: str | None = None
) -> list[Row]:
    """The files that the manifest at `place` names, in its order.

    Without `path_column`, paths are in the first of `path`, `file`, `file_name`, `filename`,
    `audio_filepath`, `audio` and `url` that it has; splits, if there are any, in `split`. Raises
    `ManifestError` and `OSError`.
    """
    suffix = PurePosixPath(place).suffix.lower()
    if suffix == ".parquet":
        records: Iterable[dict[str, Any]] = _parquet(fs, place, path_column, split_column)
    else:
        try:
            text = fs.cat_file(place).decode("utf-8-sig")
        except UnicodeDecodeError as error:
            raise ManifestError(f"{place}: it is not UTF-8: {error}") from error
        records = (
            _json_lines(place, text) if suffix in (".jsonl", ".ndjson") else _csv(text, suffix)
        )
    rows: list[Row] = []
    for number, record in enumerate(_read(records, place), 1):
        column = path_column or next((name for name in _PATHS if name in record), None)
        path = None if column is None else record.get(column)
        if not isinstance(path, str) or not path:
            raise ManifestError(f"{place}: record {number} has no path in {column or 'any column'}")
        split = record.get(split_column or _SPLIT)
        if split_column is not None and split is None:
            raise ManifestError(f"{place}: record {number} has no {split_column}")
        rows.append(Row(path, str(split) if split not in (None, "") else None))
    return rows


def _read(records: Iterable[dict[str, Any]], place: str) -> Iterator[dict[str, Any]]:
    try:
        yield from records
    except csv.Error as error:
        raise ManifestError(f"{place}: {error}") from error


def _csv(text: str, suffix: str) -> Iterator[dict[str, Any]]:
    yield from csv.DictReader(
        io.StringIO(text, newline=""), delimiter="\t" if suffix == ".tsv" else ","
    )


def _json_lines(place: str, text: str) -> Iterator[dict[str, Any]]:
    for number, line in enumerate(text.split("\n"), 1):
        if not line.strip():
            continue
        try:
            record = json.loads(line)
        except (ValueError, RecursionError) as error:
            raise ManifestError(f"{place}: line {number} is not JSON: {error}") from error
        if not isinstance(record, dict):
            raise ManifestError(f"{place}: line {number} is not a JSON object")
        yield record


def _parquet(
    fs: Any, place: str, path_column: str | None, split_column: str | None
) -> Iterator[dict[str, Any]]:
    parquet = import_parquet()
    wanted = {*_PATHS, _SPLIT} | {name for name in (path_column, split_column) if name}
    with fs.open(place, "rb") as file, parquet.ParquetFile(file) as table:
        columns = [name for name in table.schema_arrow.names if name in wanted]
        for batch in table.iter_batches(columns=columns):
            yield from batch.to_pylist()


def import_parquet() -> Any:
    """`pyarrow.parquet`. Raises `EncodecError` where it is not installed."""
    try:
        from pyarrow import parquet
    except ImportError as error:
        hint = "pip install 'encodec-service[batch]'"
        raise EncodecError(f"Parquet needs pyarrow ({hint}): {error}") from error
    return parquet
