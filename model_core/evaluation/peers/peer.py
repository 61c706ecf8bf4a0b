"""What another codec has to offer to be compared with."""

from dataclasses import dataclass
from typing import Protocol

import numpy as np


@dataclass(frozen=True)
class PeerCoded:
    """A clip after another codec.

    `file_bytes` is its file as it lies on a disk, `payload_bytes` that without the container.
    `samples` `[C, n]` are at the rate of the original, but may be late and of another length.
    """

    samples: np.ndarray
    file_bytes: int
    payload_bytes: int


class Peer(Protocol):
    """Another codec; it holds no state, so that any process may use it."""

    @property
    def name(self) -> str:
        """As tables call it."""

    def lowest_kbps(self, channels: int) -> float:
        """The lowest rate it can be asked for."""

    def missing(self) -> str | None:
        """What has to be installed for it; None where it can be used."""

    def code(self, samples: np.ndarray, sample_rate: int, kbps: float) -> PeerCoded:
        """Encode and decode `[C, n]` at about `kbps`. Raises `PeerError`."""
