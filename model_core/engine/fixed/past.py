"""What came before each row of a batch, in every causal layer."""

from collections.abc import Iterable

import torch
from torch import Tensor

from ..plan import Layer, convolutions


def past_size(layers: Iterable[Layer]) -> int:
    """Numbers that the convolutions of `layers` carry from a stream's block to its next."""
    return sum(layer.carried for layer in convolutions(layers))


class Past:
    """Takes what the streams carried `[B, S]` apart, layer by layer, and collects what they carry
    on.

        row 0   stream a, block 4    its past: what a carried from its batch before
        row 1   stream a, block 5    its past: the end of row 0
        row 2   stream b, block 0    its past: none, it begins

    `continues` `[B]` says which rows go on where the row before them ends, `begins` `[B]` which
    are a stream's first. What a row carries on counts for the last row of its stream alone.
    """

    def __init__(self, carried: Tensor, continues: Tensor, begins: Tensor):
        self.begins = begins
        self._continues = continues[:, None, None]
        self._carried = carried
        self._position = 0
        self._ends: list[Tensor] = []

    def exchange(self, end: Tensor) -> Tensor:
        """Leaves the `end` `[B, C, n]` of a layer's rows to what follows them; gives what came
        before the rows there, of the same shape: arbitrary where a stream begins."""
        size = end[0].numel()
        carried = self._carried[:, self._position : self._position + size].view(end.shape)
        self._position += size
        self._ends.append(end.flatten(1).to(carried.dtype))
        return torch.where(self._continues, end.roll(1, 0), carried.to(end.dtype))

    def ends(self) -> Tensor:
        """What the streams carry on, `[B, S]`."""
        return torch.cat(self._ends, dim=1) if self._ends else self._carried
