"""The data between layers: rows of one length, valid to their own length; their pasts and ends."""

from collections.abc import Iterable
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from ..plan import Layer, convolutions


@dataclass(frozen=True)
class Rows:
    """Blocks `[B, C, T]`; the first `length` `[B]` (int64) samples of each are valid.

    The others are arbitrary but finite, and no result may depend on them. A `length` of None means
    that all are valid.
    """

    x: Tensor
    length: Tensor | None = None


def only_inside(x: Tensor, length: Tensor | None, first: int = 0) -> Tensor:
    """`x` `[B, C, T]`, whose first column has index `first`, with zeros where it is not valid."""
    if length is None:
        return x
    columns = torch.arange(first, first + x.shape[-1], device=x.device)
    return torch.where((columns < length[:, None])[:, None], x, 0)


def windows(length: Tensor, stride: int) -> Tensor:
    """The number of windows of a convolution over `length` samples, the last one padded."""
    return -torch.div(-length, stride, rounding_mode="floor")


def reflected_start(x: Tensor, length: Tensor | None, size: int) -> Tensor:
    """The padding before a signal that begins here, `[B, C, size]`: its first samples reversed, or
    zeros where it is too short (`nn.conv.reflect_pad`)."""
    return only_inside(x[..., 1 : size + 1], length, first=1).flip(-1)


def reflect_end(
    padded: Tensor, left: int, length: Tensor, begins: Tensor, ahead: int, stride: int
) -> None:
    """Reflect each row at its end, in place, as far as a convolution reads: `ahead` samples, and
    those that fill the last window.

    `padded` `[B, C, left + T + n]` has `left` columns of the past, then the signal. A signal that
    `begins` here `[B]` and is too short to reflect is first extended by zeros and reflected at
    their end, as in `nn.conv.reflect_pad`.
    """
    size = ahead + stride - 1
    if not size:
        return
    filling = windows(length, stride) * stride - length
    reach = torch.clamp(ahead + filling, min=left)
    end = torch.where(begins, torch.maximum(length, reach + 1), length)[:, None]
    to = length[:, None] + torch.arange(size, device=padded.device)
    source = 2 * (end - 1) - to
    counts = (to >= end) & (source < length[:, None])
    columns = (source + left).clamp(min=0)[:, None].expand(-1, padded.shape[1], -1)
    values = torch.where(counts[:, None], padded.gather(2, columns), 0)
    padded.scatter_(2, (to + left)[:, None].expand_as(values), values)


def past_size(layers: Iterable[Layer]) -> int:
    """Numbers that the convolutions of `layers` carry from one block of a stream to the next."""
    return sum(layer.carried for layer in convolutions(layers))


class Past:
    """Unpacks the streams' states `[B, S]` layer by layer, and packs the new ones, of which only
    that of a stream's last row is used.

    `continues` `[B]`: the rows that continue the row before them, whose end is their past;
    `begins` `[B]`: the first rows of a stream, which have none.
    """

    def __init__(self, carried: Tensor, continues: Tensor, begins: Tensor):
        self.begins = begins
        self._continues = continues[:, None, None]
        self._carried = carried
        self._position = 0
        self._ends: list[Tensor] = []

    def exchange(self, end: Tensor) -> Tensor:
        """Keep the `end` `[B, C, n]` of a layer's rows for the next ones; returns the past of these
        rows, of the same shape: arbitrary where a stream begins."""
        size = end[0].numel()
        carried = self._carried[:, self._position : self._position + size].view(end.shape)
        self._position += size
        self._ends.append(end.flatten(1).to(carried.dtype))
        return torch.where(self._continues, end.roll(1, 0), carried.to(end.dtype))

    def ends(self) -> Tensor:
        """The new states, `[B, S]`."""
        return torch.cat(self._ends, dim=1) if self._ends else self._carried


def row_norm(
    norm: nn.GroupNorm, x: Tensor, length: Tensor | None, columns: slice = slice(None)
) -> Tensor:
    """`nn.GroupNorm` of one group over the first `length` `[B]` columns of each row of `x`
    `[B, C, T]`, or over all of them; returns only the `columns`.

    The sums run over the whole row, whose invalid columns must be zero; mean and variance are then
    corrected for those zeros. A fully valid row needs no correction: it gets the same bits beside
    shorter rows as alone. Computed in float32 or wider.
    """
    wide = x.to(torch.promote_types(x.dtype, torch.float32))
    variance, mean = torch.var_mean(wide, (1, 2), correction=0, keepdim=True)
    if length is not None:
        # With r = all / valid: the mean is r m, the variance r (v + m^2 (1 - r)).
        more = (x.shape[-1] / length.to(wide.dtype))[:, None, None]
        variance = (more * (variance + mean.square() * (1 - more))).clamp(min=0)
        mean = mean * more
    gain = norm.weight[:, None] * (variance + norm.eps).rsqrt()  # [B, C, 1]
    shift = norm.bias[:, None] - mean * gain
    return torch.addcmul(shift, wide[..., columns], gain).to(x.dtype)
