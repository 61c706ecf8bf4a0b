"""The interface of a contender."""

from collections.abc import Callable
from typing import Any, Protocol

import numpy.typing as npt

from ..clips import Clip, CodedClip

Sink = Callable[[npt.NDArray[Any]], None]
"""Receives codes `[K, T]` or samples `[C, n]` as they come."""

Job = Callable[[Sink], None]
"""One run of the work, with all preparation done before, so that its time is the work's."""


class MissingContenderError(Exception):
    """The contender's package is not installed."""


class Contender(Protocol):
    """A codec with one model's weights."""

    @property
    def backend(self) -> str:
        """The name of the backend."""

    def encoder(self, clip: Clip, bandwidth: float) -> Job:
        """Samples to codes."""

    def decoder(self, coded: CodedClip) -> Job:
        """Codes to samples."""
