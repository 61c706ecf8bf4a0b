"""Numbers on command lines: from text, or wrong usage."""

import argparse
from collections.abc import Callable
from dataclasses import dataclass

from .errors import SettingsError


@dataclass(frozen=True)
class Range:
    """The allowed range of a number."""

    low: float
    high: float = float("inf")

    def check(self, name: str, value: object) -> None:
        """Raises `SettingsError` if `value` is not a number within the range."""
        if not isinstance(value, int | float) or not self.low <= value <= self.high:
            raise SettingsError(f"{name} is {value!r}, not {self}")

    def __str__(self) -> str:
        if self.high == float("inf"):
            return f"{self.low:g} or more"
        return f"between {self.low:g} and {self.high:g}"


def whole(text: str) -> int:
    """A whole number."""
    try:
        return int(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a whole number") from None


def number(text: str) -> float:
    """A number, infinities included."""
    try:
        return float(text)
    except ValueError:
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is not a number") from None


def positive(text: str) -> int:
    """A whole number, 1 or more."""
    value = whole(text)
    if value < 1:
        raise argparse.ArgumentTypeError(f"{text[:80]} is not 1 or more")
    return value


def number_in(allowed: Range) -> Callable[[str], float]:
    """The function from a text to a finite number within a range."""

    def read(text: str) -> float:
        value = number(text)
        if not allowed.low <= value <= allowed.high or value == float("inf"):
            raise argparse.ArgumentTypeError(f"{text[:80]} is not {allowed}")
        return value

    return read
