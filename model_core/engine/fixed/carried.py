"""What the causal layers carry from block to block, as one row of numbers a stream."""

import torch
from torch import Tensor, nn

from ...nn.conv import SConv1d, SConvTranspose1d
from ...nn.lstm import SLSTM


def carried_size(network: nn.Module) -> int:
    """Numbers in the row of a causal network: what its layers carry, and whether it has begun."""
    return 1 + sum(_size(layer) for layer in network.modules())


def _size(layer: nn.Module) -> int:
    if isinstance(layer, SConv1d):
        return layer.conv.conv.in_channels * layer.padding_total
    if isinstance(layer, SConvTranspose1d):
        return layer.convtr.convtr.in_channels
    if isinstance(layer, SLSTM):
        return 2 * layer.lstm.num_layers * layer.lstm.hidden_size
    return 0


class Carried:
    """Rows `[B, S]` that the layers take apart in their order while they write the next.

    A row of zeros is a stream that begins; the first number of the others is 1.
    """

    def __init__(self, rows: Tensor):
        self.begins = rows[:, 0] == 0
        self._rows = rows
        self._position = 1
        self._after = [torch.ones_like(rows[:, :1])]

    def take(self, *shape: int) -> Tensor:
        """What the layer has left: `[B, *shape]`; zeros where a stream begins."""
        size = torch.Size(shape).numel()
        part = self._rows[:, self._position : self._position + size]
        self._position += size
        return part.view(-1, *shape)

    def put(self, x: Tensor) -> None:
        """What the layer leaves to its next block."""
        self._after.append(x.flatten(1).to(self._rows.dtype))

    def after(self) -> Tensor:
        """The rows of the streams as they stand now, `[B, S]`."""
        return torch.cat(self._after, dim=1)
