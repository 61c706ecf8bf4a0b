"""Overlap-add of segments as they come, equal to `nn.overlap.linear_overlap_add` of all of them."""

import torch
from torch import Tensor

from ..nn.overlap import triangle


class OverlapAdd:
    """Joins segments `[C, T_i]` that start `stride` samples apart; keeps only what overlaps."""

    def __init__(self, stride: int):
        self.stride = stride
        self._weight: Tensor | None = None
        self._sum = torch.zeros(0)
        self._weights = torch.zeros(0)

    def push(self, segment: Tensor, last: bool) -> Tensor:
        """Add the next segment; returns the samples `[C, n]` that no later one can change."""
        length = segment.shape[-1]
        if self._weight is None:
            self._weight = triangle(length, segment)
            self._sum = segment.new_zeros(segment.shape[0], 0)
            self._weights = segment.new_zeros(0)
        size = length if last else max(length, self._sum.shape[-1])
        total, weights = _resized(self._sum, size), _resized(self._weights, size)
        total[:, :length] += self._weight[:length] * segment
        weights[:length] += self._weight[:length]
        ready = size if last else self.stride
        self._sum, self._weights = total[:, ready:], weights[ready:]
        return total[:, :ready] / weights[:ready]


def _resized(x: Tensor, size: int) -> Tensor:
    out = x.new_zeros(*x.shape[:-1], size)
    kept = min(size, x.shape[-1])
    out[..., :kept] = x[..., :kept]
    return out
