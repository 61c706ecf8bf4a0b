"""The table at the end: every row, then the failures, then the counts."""

from collections import Counter
from collections.abc import Sequence

from .report import Row

_LONGEST = 160  # characters of a figure; the rows hold the whole text


def summary(rows: Sequence[Row]) -> str:
    """All rows as aligned lines, then the failures and the counts."""
    what = min(64, max((len(row.what) for row in rows), default=0))
    stage = max((len(row.stage) for row in rows), default=0)
    lines = []
    before = None
    for row in rows:
        if row.stage != before:
            lines.append("")
        before = row.stage
        mark = {"done": "", "failed": "FAILED  ", "skipped": "skipped: "}[row.outcome]
        lines.append(f"{row.stage:{stage}}  {row.what:{what}}  {mark}{_short(row.figure)}".rstrip())
    failed = [row for row in rows if row.outcome == "failed"]
    if failed:
        lines += ["", "failed:"]
        lines += [f"  {row.stage}: {row.what}: {_short(row.figure)}" for row in failed]
    counts = Counter(row.outcome for row in rows)
    said = ", ".join(f"{counts[name]} {name}" for name in ("done", "failed", "skipped"))
    return "\n".join([*lines, "", said]) + "\n"


def _short(text: str) -> str:
    line = " ".join(text.split())
    return line if len(line) <= _LONGEST else line[: _LONGEST - 1] + "…"
