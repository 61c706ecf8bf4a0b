"""Rows of figures as aligned lines of text."""

from collections.abc import Sequence
from dataclasses import dataclass

Cell = str | float | None


@dataclass(frozen=True)
class Column:
    """`digits` None is for text, which is aligned left; numbers are aligned right."""

    title: str
    width: int
    digits: int | None = None


class Table:
    """Formats lines one by one, without knowing later rows."""

    def __init__(self, columns: Sequence[Column]):
        self._columns = columns

    def header(self) -> str:
        return self._join([column.title for column in self._columns])

    def line(self, cells: Sequence[Cell]) -> str:
        """A row; None is printed as a dash. Raises `ValueError` for another number of cells."""
        return self._join(
            [_text(cell, column) for cell, column in zip(cells, self._columns, strict=True)]
        )

    def _join(self, texts: Sequence[str]) -> str:
        parts = [
            text.ljust(column.width) if column.digits is None else text.rjust(column.width)
            for text, column in zip(texts, self._columns, strict=True)
        ]
        return " ".join(parts).rstrip()


def _text(cell: Cell, column: Column) -> str:
    if cell is None:
        return "-"
    if isinstance(cell, str):
        return cell
    return f"{cell:.{column.digits}f}" if column.digits is not None else f"{cell:g}"


def length(seconds: float) -> str:
    """`1 s`, `10 min`, `1 h`."""
    for unit, name in ((3600, "h"), (60, "min")):
        if (seconds > unit and seconds % unit == 0) or seconds == 3600:
            return f"{seconds / unit:g} {name}"
    return f"{seconds:g} s"
