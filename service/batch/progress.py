"""How far the work is: a bar on a terminal, elsewhere a line now and then."""

import sys
from time import monotonic
from typing import Any

from tqdm import tqdm

from model_core.process import coloured, say

COMMAND = "encodec-batch"
_FORMAT = "{percentage:3.0f}%|{bar}| {done}, {speed}, {left} left"
_LINE_EVERY = 30.0  # s


class Progress:
    """Of jobs, each of which counts by its bytes."""

    def __init__(self, jobs: int, size: int):
        """`size`: bytes of all."""
        self._jobs, self._size = jobs, size
        self._done = self._done_bytes = 0
        self._audio = self._done_audio = 0.0
        self._began = self._said = monotonic()
        shown = sys.stderr is not None and sys.stderr.isatty()
        colour = "green" if coloured(sys.stderr) else None
        self._bar = (
            _Bar(total=max(1, size), bar_format=_FORMAT, leave=False, colour=colour)
            if shown
            else None
        )

    def done(self, size: int, audio: float) -> None:
        """A job of so many bytes and seconds of audio is done."""
        self._done_audio += audio
        self._done += 1
        self._done_bytes += size

    def show(self, audio: float) -> None:
        """Seconds of audio done, unfinished jobs included."""
        self._audio = max(self._audio, self._done_audio, audio)
        now = monotonic()
        if self._bar is not None:
            self._bar.texts = self._texts(now)
            self._bar.update(self._done_bytes - self._bar.n)
            self._bar.refresh()
        elif now - self._said >= _LINE_EVERY:
            self._said = now
            texts = self._texts(now)
            say(f"{texts['done']} done, {texts['speed']}, {texts['left']} left", COMMAND)

    def say(self, text: str) -> None:
        """A line, above the bar."""
        if self._bar is not None:
            self._bar.clear()
        say(text, COMMAND)

    def close(self) -> None:
        """The bar goes."""
        if self._bar is not None:
            self._bar.close()

    def _texts(self, now: float) -> dict[str, str]:
        spent = max(now - self._began, 1e-9)
        rate = self._audio / spent
        left = "?"
        if self._done_audio and self._done_bytes:
            # as if the rest had as much audio in its bytes as what is done
            whole = self._done_audio * self._size / self._done_bytes
            left = tqdm.format_interval(max(0.0, whole - self._audio) / max(rate, 1e-9))
        return {
            "done": f"{self._done:,}/{self._jobs:,}",
            "speed": f"{rate / 3600:.3g} audio hours/s ({rate:.3g} x real time)",
            "left": left,
        }


class _Bar(tqdm):  # type: ignore[type-arg]
    texts: dict[str, str] = {"done": "0", "speed": "?", "left": "?"}  # noqa: RUF012

    @property
    def format_dict(self) -> dict[str, Any]:
        """What `_FORMAT` can name."""
        return {**super().format_dict, **self.texts}
