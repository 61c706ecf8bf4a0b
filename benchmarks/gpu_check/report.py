"""The findings of the stages: rows, written one by one as they come.

All stages write to one file, to keep the number of files small: some machines return at most eight.
"""

import json
import time
import traceback
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Literal

ROWS = "rows.jsonl"

Outcome = Literal["done", "failed", "skipped"]


@dataclass(frozen=True)
class Row:
    """One finding. `figure` is for readers, `values` is the same as plain values, for programs."""

    stage: str
    what: str
    figure: str
    outcome: Outcome = "done"
    values: dict[str, Any] = field(default_factory=dict)


class Report:
    """Writes the rows of one stage."""

    def __init__(
        self,
        stage: str,
        folder: Path,
        seconds: float,
        still_works: Callable[[], object] = lambda: None,
    ):
        """The stage has `seconds` seconds. `still_works` is called after an error, and raises if
        the stage cannot continue."""
        self.stage = stage
        self._path = folder / ROWS
        self._end = time.monotonic() + seconds
        self._still_works = still_works

    @property
    def left(self) -> float:
        """Seconds left for the stage."""
        return self._end - time.monotonic()

    def done(self, what: str, figure: str, **values: Any) -> None:
        self._write(Row(self.stage, what, figure, "done", values))

    def failed(self, what: str, why: str, **values: Any) -> None:
        self._write(Row(self.stage, what, why, "failed", values))

    def skipped(self, what: str, why: str) -> None:
        self._write(Row(self.stage, what, why, "skipped"))

    def check(self, what: str, holds: bool, figure: str, **values: Any) -> None:
        """A row: done if `holds`, else failed."""
        (self.done if holds else self.failed)(what, figure, **values)

    def in_time(self, what: str, seconds: float = 1.0) -> bool:
        """Whether `seconds` are left; if not, adds a skipped row."""
        if self.left >= seconds:
            return True
        self.skipped(what, "no time left")
        return False

    @contextmanager
    def part(self, what: str) -> Iterator[None]:
        """An error inside makes a failed row, and the stage continues after it; if the device no
        longer works, the error is raised."""
        try:
            yield
        except Exception as error:  # noqa: BLE001  any error becomes a row
            self.failed(what, first_line(error), error=traceback.format_exc())
            self._still_works()

    def _write(self, row: Row) -> None:
        line = json.dumps(asdict(row), ensure_ascii=False, default=str)
        print(f"{row.outcome:7} {row.what}: {row.figure}", flush=True)
        with self._path.open("a", encoding="utf-8") as file:
            file.write(line + "\n")


def first_line(error: BaseException) -> str:
    """The type of the error and the first line of its message."""
    lines = str(error).strip().splitlines() or [""]
    return f"{type(error).__name__}: {lines[0]}"


def read_rows(folder: Path) -> list[Row]:
    """The rows in a folder, in the order of writing, without a line that a killed stage left
    incomplete."""
    path = folder / ROWS
    rows = []
    for line in path.read_text(encoding="utf-8").splitlines() if path.exists() else ():
        try:
            rows.append(Row(**json.loads(line)))
        except (ValueError, TypeError):
            continue
    return rows
