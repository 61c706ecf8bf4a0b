"""The results: rows of plain values, saved as JSON together with their machine.

{"speed": {"machine": {…}, "rows": [{…}, …], "notes": ["…"]}, "memory": …}

A file holds the last run of each section.
"""

import json
from collections.abc import Callable, Iterator
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Self

from .machine import Machine

Row = dict[str, Any]
"""One line of a section's table: names, numbers, lists of numbers, None."""


class ResultsError(Exception):
    """A file of results that cannot be read."""


@dataclass
class Section:
    """One section's run. `notes` says what was skipped, and why."""

    machine: Machine
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Add a note, once."""
        if text not in self.notes:
            self.notes.append(text)

    def find(self, **wanted: Any) -> Iterator[Row]:
        """Rows with these values."""
        for row in self.rows:
            if all(row.get(key) == value for key, value in wanted.items()):
                yield row


@dataclass
class Results:
    """Sections by name."""

    sections: dict[str, Section] = field(default_factory=dict)

    def to_json(self) -> str:
        plain = {name: asdict(section) for name, section in self.sections.items()}
        return json.dumps(plain, indent=1, ensure_ascii=False) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Self:
        """The inverse of `to_json`. Raises `ResultsError` for other text."""
        try:
            return cls({name: _section(plain) for name, plain in json.loads(text).items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ResultsError(f"these are no results of a benchmark: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """The results in a file; empty without a file. Raises `ResultsError`."""
        return cls.from_json(path.read_text()) if path.exists() else cls()

    def writer(self, path: Path | None) -> Callable[[], None]:
        """A function that writes the current results; it does nothing without a path."""

        def write() -> None:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self.to_json())

        return write


def _section(plain: Row) -> Section:
    return Section(Machine(**plain["machine"]), list(plain["rows"]), list(plain["notes"]))
