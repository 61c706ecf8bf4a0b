"""Overlap-add of segments as they come, equal to `nn.network.linear_overlap_add` of all of them."""

import numpy as np


class OverlapAdd:
    """Joins segments `[C, T_i]`, float32, that start `stride` samples apart; keeps only what
    overlaps."""

    def __init__(self, stride: int, length: int | None = None):
        """`length`: samples of the audio's first segment as decoded, if that is not the first one
        pushed: all weights are cut from its triangle."""
        self.stride = stride
        self._weight = None if length is None else _triangle(length)
        self._sum = np.zeros((0, 0), np.float32)
        self._weights = np.zeros(0, np.float32)

    def push(self, segment: np.ndarray, last: bool) -> np.ndarray:
        """Add the next segment; returns the samples `[C, n]` that no later one can change."""
        length = segment.shape[-1]
        if self._weight is None:
            self._weight = _triangle(length)
        weights = self._weight[:length].copy()
        total = weights * segment
        carried = min(length, len(self._weights))  # the last segment may end before the one before
        if carried:
            total[:, :carried] += self._sum[:, :carried]
            weights[:carried] += self._weights[:carried]
        ready = length if last else self.stride
        self._sum, self._weights = total[:, ready:].copy(), weights[ready:]
        joined = total[:, :ready]
        joined /= weights[:ready]
        return joined


def _triangle(length: int) -> np.ndarray:
    """The weights of a segment's samples, as there, with the bits of `torch.linspace`: steps from 0
    up to the middle and from 1 down to it, each rounded once."""
    step = np.float64(np.float32(1) / np.float32(length + 1))
    number = np.arange(1, length + 1)
    rising = number < (length + 2) // 2
    t = np.where(rising, step * number, 1 - step * (length + 1 - number)).astype(np.float32)
    return np.float32(0.5) - np.abs(t - np.float32(0.5))
