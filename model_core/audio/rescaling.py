"""Rescaling instead of clipping: the peak is known only at the end."""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from model_core.audio.samples import Samples
from model_core.audio.wav import rescale_factor

_FRAMES = 1 << 16  # read back at once


class WaitingSamples:
    """Samples that wait in a file until all are there."""

    def __init__(self, file: BinaryIO, channels: int):
        """`file`: an empty one, for this alone."""
        self._file = file
        self._channels = channels
        self._peak = 0.0

    def add(self, samples: Samples) -> None:
        """The next ones, float32 `[C, n]`. Raises `OSError`."""
        self._peak = max(self._peak, float(np.abs(samples).max(initial=0)))
        self._file.write(samples.T.astype(np.float32).tobytes())

    @property
    def factor(self) -> float:
        """What to multiply all of them by."""
        return rescale_factor(self._peak)

    def blocks(self) -> Iterator[Samples]:
        """All of them, `[C, n]`. Raises `OSError`."""
        self._file.seek(0)
        while data := self._file.read(self._channels * 4 * _FRAMES):
            yield np.frombuffer(data, np.float32).reshape(-1, self._channels).T
