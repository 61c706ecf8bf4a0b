"""The interface of another codec."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class PeerCoded:
    """A clip coded by another codec.

    `file_bytes` is the size of its file, `payload_bytes` the size without the container. `samples`
    `[C, n]` have the original's rate, but may be delayed and of another length.
    """

    samples: np.ndarray
    file_bytes: int
    payload_bytes: int


class Peer(Protocol):
    """Another codec; it has no state, so any process may use it."""

    @property
    def name(self) -> str:
        """Its name in tables."""

    def lowest_kbps(self, channels: int) -> float:
        """The lowest rate that it accepts."""

    def missing(self) -> str | None:
        """What must be installed to use it; None if nothing is missing."""

    def code(self, samples: np.ndarray, sample_rate: int, kbps: float) -> PeerCoded:
        """Encode and decode `[C, n]` at about `kbps`. Raises `PeerError`."""
