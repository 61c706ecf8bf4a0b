"""Pieces of Markdown."""

import re
from collections.abc import Iterable, Iterator


def code(text: str) -> str:
    """As code, whatever is in it."""
    marks = "`" * (1 + max((len(run) for run in re.findall("`+", text)), default=0))
    pad = " " if text.startswith("`") or text.endswith("`") else ""
    return f"{marks}{pad}{text}{pad}{marks}"


def escaped(text: str) -> str:
    """Prose that may hold `code`: signs that Markdown or HTML would take for theirs are kept."""
    parts = re.split(r"(`[^`]*`)", text)
    return "".join(part if part.startswith("`") else _plain(part) for part in parts)


def _plain(text: str) -> str:
    text = text.replace("&", "&amp;").replace("<", "&lt;")
    return re.sub(r"([*_\[\]#|~^])", r"\\\1", text)


def anchor(text: str) -> str:
    """`GET /models/{id}` -> `get-models-id`."""
    return re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")


def table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> Iterator[str]:
    """A table's lines, and an empty one."""
    head = list(head)
    yield _row(head)
    yield _row("---" for _ in head)
    yield from (_row(row) for row in rows)
    yield ""


def _row(cells: Iterable[str]) -> str:
    one_line = (re.sub(r"\s+", " ", cell) for cell in cells)
    return "| " + " | ".join(re.sub(r"(?<!\\)\|", r"\\|", cell) for cell in one_line) + " |"
