"""A bar on a terminal: how far, how many times as fast as real time, how long it still takes."""

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from time import monotonic
from typing import Any

from tqdm import tqdm

from ..process import coloured

_FORMAT = "{desc}: {percentage:3.0f}%|{bar}| {speed} x real time, {left} left"

Advance = Callable[[float, float], None]
"""Is told how much is done, in the unit of the total, and how many seconds of audio that was."""


class Progress:
    """The progress of a command line, in one bar that goes when a file is done.

    Of one file the bar shows the pass that runs, of several all of them, each by its size.
    """

    def __init__(self, sources: Sequence[str]):
        self._hidden = sys.stderr is None or not sys.stderr.isatty()
        self._sizes = [] if self._hidden or len(sources) < 2 else [_size(s) for s in sources]
        self._total = sum(self._sizes)
        self._done = 0  # bytes of files
        self._number = 0
        self._worked = False  # on the file that is not done yet
        self._seconds = 0.0  # of audio
        self._spent = 0.0  # s

    @contextmanager
    def showing(self, doing: str, source: str, total: float) -> Iterator[Advance]:
        """The bar of a pass over one file, which ends at `total` in any unit."""
        if self._hidden:
            yield lambda done, seconds: None
            return
        self._worked = True
        name = f"{doing} {Path(source).name}"
        weight, whole, before = 1.0, 1.0, 0
        if self._sizes:
            name = f"{self._number + 1}/{len(self._sizes)} {name}"
            weight, whole, before = self._sizes[self._number], self._total, self._done
        began, audio = monotonic(), 0.0

        def advance(done: float, seconds: float) -> None:
            nonlocal audio
            audio = seconds
            spent = self._spent + monotonic() - began
            now = before + weight * (min(done / total, 1.0) if total else 1.0)
            bar.speed = (self._seconds + audio) / spent
            bar.left = spent * (whole - now) / now if now else None
            bar.update(now - bar.n)

        colour = "green" if coloured(sys.stderr) else None
        with _Bar(
            total=whole, initial=before, desc=name, leave=False, bar_format=_FORMAT, colour=colour
        ) as bar:
            try:
                yield advance
            finally:
                if self._sizes:
                    self._seconds += audio
                    self._spent += monotonic() - began

    def next(self) -> None:
        """The next file's turn. One that took no work does not count."""
        if self._sizes:
            size = self._sizes[self._number]
            if self._worked:
                self._done += size
            else:
                self._total -= size
        self._number += 1
        self._worked = False


class _Bar(tqdm):  # type: ignore[type-arg]
    speed = 0.0
    left: float | None = None  # s

    @property
    def format_dict(self) -> dict[str, Any]:
        """What `_FORMAT` can name."""
        left = "?" if self.left is None else self.format_interval(self.left)
        return {**super().format_dict, "speed": f"{self.speed:.3g}", "left": left}


def _size(source: str) -> int:
    """Bytes; 0 for stdin and for what is not there."""
    try:
        return Path(source).stat().st_size
    except OSError:
        return 0
