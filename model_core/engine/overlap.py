"""Overlap-add of segments as they come, equal to `nn.overlap.linear_overlap_add` of all of them."""

import numpy as np


class OverlapAdd:
    """Joins segments `[C, T_i]`, float32, that start `stride` samples apart; keeps only what
    overlaps."""

    def __init__(self, stride: int):
        self.stride = stride
        self._weight: np.ndarray | None = None
        self._sum = np.zeros((0, 0), np.float32)
        self._weights = np.zeros(0, np.float32)

    def push(self, segment: np.ndarray, last: bool) -> np.ndarray:
        """Add the next segment; returns the samples `[C, n]` that no later one can change."""
        length = segment.shape[-1]
        if self._weight is None:
            self._weight = triangle(length)
            self._sum = np.zeros((len(segment), 0), np.float32)
        size = length if last else max(length, self._sum.shape[-1])
        total, weights = _resized(self._sum, size), _resized(self._weights, size)
        total[:, :length] += self._weight[:length] * segment
        weights[:length] += self._weight[:length]
        ready = size if last else self.stride
        self._sum, self._weights = total[:, ready:], weights[ready:]
        return total[:, :ready] / weights[:ready]


def triangle(length: int) -> np.ndarray:
    """`nn.overlap.triangle` in float32, with the bits of `torch.linspace`: steps from 0 up to the
    middle and from 1 down to it, each rounded once."""
    step = np.float64(np.float32(1) / np.float32(length + 1))
    number = np.arange(1, length + 1)
    rising = number < (length + 2) // 2
    t = np.where(rising, step * number, 1 - step * (length + 1 - number)).astype(np.float32)
    return np.float32(0.5) - np.abs(t - np.float32(0.5))


def _resized(x: np.ndarray, size: int) -> np.ndarray:
    """`x` `[..., n]` as `[..., size]`, cut or with zeros behind it."""
    out = np.zeros((*x.shape[:-1], size), np.float32)
    kept = min(size, x.shape[-1])
    out[..., :kept] = x[..., :kept]
    return out
