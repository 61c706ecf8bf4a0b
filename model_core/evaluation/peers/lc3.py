"""LC3 (ETSI TS 103 634, Bluetooth LE Audio): `elc3` and `dlc3`, frames of 10 ms.

Its rate is constant and counts only the frames: the two bytes of length before each frame belong to
the test program's file format.
"""

from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

from ..errors import PeerError
from .peer import PeerCoded
from .tools import installed, read_audio, run, write_wav

_LEAST = 16.0  # kbps a channel: frames of 20 bytes
_HEADER_SIZE = slice(2, 4)  # the field with the length of the header
_LENGTH = 2  # bytes before each frame


class LC3:
    """See `peer.Peer`."""

    name = "lc3"

    def lowest_kbps(self, channels: int) -> float:
        return _LEAST * channels

    def missing(self) -> str | None:
        if installed("elc3", "dlc3"):
            return None
        return "elc3 and dlc3 (package liblc3-tools) are not installed"

    def code(self, samples: np.ndarray, sample_rate: int, kbps: float) -> PeerCoded:
        """Raises `PeerError`."""
        with TemporaryDirectory() as name:
            folder = Path(name)
            write_wav(folder / "in.wav", samples, sample_rate)
            run(["elc3", "-b", f"{1000 * kbps:.0f}", "in.wav", "coded.lc3"], folder)
            run(["dlc3", "coded.lc3", "out.wav"], folder)
            data = (folder / "coded.lc3").read_bytes()
            decoded = read_audio(folder / "out.wav", sample_rate, samples.shape[0])
        return PeerCoded(decoded, len(data), payload_size(data))


def payload_size(data: bytes) -> int:
    """Bytes of the frames of an `.lc3` file. Raises `PeerError` if it is truncated."""
    place, total = int.from_bytes(data[_HEADER_SIZE], "little"), 0
    while place + _LENGTH <= len(data):
        size = int.from_bytes(data[place : place + _LENGTH], "little")
        total += size
        place += _LENGTH + size
    if place != len(data):
        raise PeerError("its output is not an LC3 file")
    return total
