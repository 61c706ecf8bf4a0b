"""What an engine is given and gives back."""

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np


@dataclass
class StreamState:
    """What one stream carries from block to block; empty before the first.

    What is in the slots is the engine's own. They are replaced, never written to.
    """

    slots: list[Any] = field(default_factory=list)

    @property
    def is_new(self) -> bool:
        return not self.slots


@dataclass
class EncodeItem:
    """Samples `[C, n]`, float32, and the stream they continue: a block, or as many as the engine
    takes at once.

    `last` closes the stream. The items of one stream go one after another.
    """

    samples: np.ndarray
    num_codebooks: int
    last: bool
    state: StreamState = field(default_factory=StreamState)


@dataclass(frozen=True)
class EncodedBlock:
    """Codes int64 `[K, T]` and, for a normalising model, the scale they were taken at."""

    codes: np.ndarray
    scale: float | None = None


@dataclass
class DecodeItem:
    """Codes `[K, T]`, their scale, and the stream they continue."""

    block: EncodedBlock
    last: bool
    state: StreamState = field(default_factory=StreamState)


@contextmanager
def states_kept(items: Sequence[EncodeItem | DecodeItem]) -> Iterator[None]:
    """Put the streams' states back if what happens inside fails."""
    before = [item.state.slots for item in items]
    try:
        yield
    except BaseException:
        for item, slots in zip(items, before, strict=True):
            item.state.slots = slots
        raise
