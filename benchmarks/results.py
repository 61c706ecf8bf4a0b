"""What was measured: rows of plain values, kept as JSON beside the machine they come from.

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
    """One section's run. `notes` says what was left out, and why."""

    machine: Machine
    rows: list[Row] = field(default_factory=list)
    notes: list[str] = field(default_factory=list)

    def note(self, text: str) -> None:
        """Keep it once."""
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
        """Raises `ResultsError` for what `to_json` did not write."""
        try:
            return cls({name: _section(plain) for name, plain in json.loads(text).items()})
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ResultsError(f"these are no results of a benchmark: {error}") from error

    @classmethod
    def read(cls, path: Path) -> Self:
        """The results in a file; none where there is no file. Raises `ResultsError`."""
        return cls.from_json(path.read_text()) if path.exists() else cls()

    def writer(self, path: Path | None) -> Callable[[], None]:
        """Writes them as they are when it is called; does nothing without a path."""

        def write() -> None:
            if path is not None:
                path.parent.mkdir(parents=True, exist_ok=True)
                path.write_text(self.to_json())

        return write


def _section(plain: Row) -> Section:
    return Section(Machine(**plain["machine"]), list(plain["rows"]), list(plain["notes"]))
