"""What became of each recording: a line of JSON each, and a summary."""

import json
from collections import Counter
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Literal, Self


@dataclass(frozen=True)
class Outcome:
    """What became of one item."""

    path: str
    """As the source names it."""
    outcome: Literal["done", "skipped", "failed"]
    reason: str | None = None
    """Why it failed or was skipped; what a higher effort would have coded better, where it is
    done."""
    seconds: float | None = None
    """Of work on it, from the first byte read to the last written."""
    duration: float | None = None
    """Of its audio, in seconds."""
    target: str | None = None
    """Relative to the destination."""

    @property
    def line(self) -> str:
        """The item and the reason; an error of the system names its file itself."""
        item, reason = f"{self.path}: ", self.reason or self.outcome
        return reason if reason.startswith(item) else item + reason


class Report:
    """Counts outcomes and writes them to a file, if one is given, as they come."""

    def __init__(self, path: Path | None):
        """Raises `OSError`."""
        self._file = None if path is None else path.open("w", encoding="utf-8")
        self.count = Counter[str]()
        self.audio = 0.0
        """Seconds of audio done."""

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *raised: object) -> None:
        if self._file is not None:
            self._file.close()

    def add(self, outcome: Outcome) -> None:
        """Raises `OSError`."""
        self.count[outcome.outcome] += 1
        if outcome.outcome == "done":
            self.audio += outcome.duration or 0.0
        if self._file is not None:
            self._file.write(json.dumps(asdict(outcome), ensure_ascii=False) + "\n")
            self._file.flush()

    def summary(self, seconds: float) -> str:
        """One line, of a run that took so long."""
        count = self.count
        text = f"{count['done']:,} done, {count['failed']:,} failed, {count['skipped']:,} skipped"
        if not self.audio:
            return text
        hours, speed = self.audio / 3600, self.audio / seconds
        return (
            f"{text}; {hours:,.3g} hours of audio in {seconds:,.0f} s, {speed:,.3g} x real time, "
            f"{hours / seconds:.3g} audio hours a second"
        )
