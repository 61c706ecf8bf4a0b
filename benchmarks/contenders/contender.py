"""What one contender is asked."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy.typing as npt

from ..clips import Clip, CodedClip

Sink = Callable[[npt.NDArray[Any]], None]
"""Takes codes `[K, T]` or samples `[C, n]` as they come."""

Job = Callable[[Sink], None]
"""One run of the work. What it needs is made before, so that the time is that of the work."""


class MissingContenderError(Exception):
    """The package that is compared with is not installed."""


class Contender(Protocol):
    """A codec with one model's weights."""

    @property
    def backend(self) -> str:
        """What computes."""

    def encoder(self, clip: Clip, bandwidth: float) -> Job:
        """Samples to codes."""

    def decoder(self, coded: CodedClip) -> Job:
        """Codes to samples."""
