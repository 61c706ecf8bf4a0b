"""Parts: shards (tar files, as WebDataset reads them) and pieces of a table (Parquet)."""

import io
import json
import tarfile
from collections.abc import Sequence
from typing import Any, BinaryIO, Protocol

import numpy as np

from model_core.cli.suffixes import ECDC

from .coding import Codes, Made
from .manifest import import_parquet
from .sources import Item

CODES, SCALE = "codes", "scale"
COLUMNS = (CODES, SCALE)
"""Those of a table that can be chosen; the others it always has."""
_ROW_GROUP = 32 << 20  # bytes of codes after which rows are written


class PartWriter(Protocol):
    """Takes the results of items in their order; nothing of it is seen before the part is whole."""

    def add(self, item: Item, made: Made | None, error: str | None, result: Any) -> None:
        """`result` is what `made` says of: the file's bytes, or `Codes`; None after an `error`."""

    def close(self) -> None:
        """The end of the part."""


class TarWriter:
    """For each item its file, and a JSON object of its path, duration, split and error."""

    def __init__(self, file: BinaryIO, audio_suffix: str):
        """`audio_suffix`: of decompressed files, with its dot."""
        self._tar = tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT)  # noqa: SIM115
        self._audio_suffix = audio_suffix

    def add(self, item: Item, made: Made | None, error: str | None, result: BinaryIO) -> None:
        """As `PartWriter`; `result` is a file."""
        key = tar_key(item.name)
        if made is not None:
            size = result.seek(0, io.SEEK_END)
            result.seek(0)
            suffix = self._audio_suffix if item.compressed else ECDC
            self._add(key + suffix, size, result)
        about = {
            "path": item.path,
            "duration": None if made is None else made.seconds,
            "split": item.split,
            "error": error,
        }
        data = json.dumps(about, ensure_ascii=False).encode()
        self._add(f"{key}.json", len(data), io.BytesIO(data))

    def _add(self, name: str, size: int, file: BinaryIO) -> None:
        info = tarfile.TarInfo(name)  # of no time and nobody: the same items make the same bytes
        info.size = size
        self._tar.addfile(info, file)

    def close(self) -> None:
        """As `PartWriter`."""
        self._tar.close()


class TableWriter:
    """Rows of a table: `path`, `split`, `duration` (s), `samples` (at the model's rate), `error`,
    `codes` (int16 `[K][T]`) and `scale` (float32, one for each segment)."""

    def __init__(self, file: BinaryIO, columns: Sequence[str], about: dict[str, str]):
        """`about`: what the file's metadata say of the codes. Raises `EncodecError` where pyarrow
        is missing."""
        parquet = import_parquet()
        import pyarrow

        self._arrow = pyarrow
        fields = [
            ("path", pyarrow.string()),
            ("split", pyarrow.string()),
            ("duration", pyarrow.float64()),
            ("samples", pyarrow.int64()),
            ("error", pyarrow.string()),
        ]
        if CODES in columns:
            fields.append((CODES, pyarrow.list_(pyarrow.list_(pyarrow.int16()))))
        if SCALE in columns:
            fields.append((SCALE, pyarrow.list_(pyarrow.float32())))
        metadata = {f"encodec.{key}": value for key, value in about.items()}
        self._schema = pyarrow.schema(fields, metadata=metadata)
        self._writer = parquet.ParquetWriter(file, self._schema, compression="zstd")
        self._rows: list[tuple[Item, Made | None, str | None, Codes | None]] = []
        self._bytes = 0

    def add(self, item: Item, made: Made | None, error: str | None, result: Codes | None) -> None:
        """As `PartWriter`."""
        self._rows.append((item, made, error, result))
        self._bytes += 0 if result is None else result.codes.nbytes
        if self._bytes >= _ROW_GROUP:
            self._flush()

    def close(self) -> None:
        """As `PartWriter`."""
        if self._rows:
            self._flush()
        self._writer.close()

    def _flush(self) -> None:
        rows, self._rows, self._bytes = self._rows, [], 0
        columns: dict[str, Any] = {
            "path": [item.path for item, _, _, _ in rows],
            "split": [item.split for item, _, _, _ in rows],
            "duration": [made and made.seconds for _, made, _, _ in rows],
            "samples": [made and made.samples for _, made, _, _ in rows],
            "error": [error for _, _, error, _ in rows],
            CODES: self._codes([result for _, _, _, result in rows]),
            SCALE: [result and result.scales for _, _, _, result in rows],
        }
        arrays = [
            columns[field.name]
            if isinstance(columns[field.name], self._arrow.Array)
            else self._arrow.array(columns[field.name], field.type)
            for field in self._schema
        ]
        self._writer.write_table(self._arrow.Table.from_arrays(arrays, schema=self._schema))

    def _codes(self, results: Sequence[Codes | None]) -> Any:
        """A list `[K][T]` for each row, without a Python object for each code."""
        pa = self._arrow
        there = [result.codes for result in results if result is not None]
        flat = np.concatenate([codes.ravel() for codes in there] or [np.zeros(0, np.int16)])
        lengths = [codes.shape[1] for codes in there for _ in range(codes.shape[0])]
        books = pa.ListArray.from_arrays(_offsets(lengths), pa.array(flat, pa.int16()))
        counts = [0 if result is None else result.codes.shape[0] for result in results]
        missing = pa.array([result is None for result in results], pa.bool_())
        return pa.ListArray.from_arrays(_offsets(counts), books, mask=missing)


def _offsets(lengths: Sequence[int]) -> np.ndarray:
    return np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)


def stem(name: str) -> str:
    """A name without its last suffix."""
    folder, slash, base = name.rpartition("/")
    head, dot, _ = base.rpartition(".")
    return folder + slash + (head if dot and head else base)


def tar_key(name: str) -> str:
    """What the files of an item are called in a shard. Readers end it at the first dot after the
    folders."""
    folder, slash, base = stem(name).rpartition("/")
    return folder + slash + base.replace(".", "_")
