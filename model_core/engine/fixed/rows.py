"""What goes from layer to layer: blocks of one shape, of which a part may be a stream's."""

from dataclasses import dataclass

import torch
from torch import Tensor


@dataclass(frozen=True)
class Rows:
    """Blocks `[B, C, T]`; the first `length` `[B]` (int64) samples of each are a stream's.

    What lies beyond is arbitrary but finite, and nothing that counts may depend on it. None is for
    blocks that are a stream's all along.
    """

    x: Tensor
    length: Tensor | None = None


def only_inside(x: Tensor, length: Tensor, first: int = 0) -> Tensor:
    """`x` `[B, C, T]`, whose first column is number `first`, with zeros where it does not count."""
    columns = torch.arange(first, first + x.shape[-1], device=x.device)
    return torch.where((columns < length[:, None])[:, None], x, 0)


def windows(length: Tensor, stride: int) -> Tensor:
    """How many windows a convolution of `length` samples has, the last one filled up."""
    return -torch.div(-length, stride, rounding_mode="floor")


def reflected_start(x: Tensor, length: Tensor | None, size: int) -> Tensor:
    """What comes before a signal that begins here: its own first samples, or zeros where it is
    too short, the other way round (`nn.conv.reflect_pad`). `[B, C, size]`."""
    start = x[..., 1 : size + 1]
    return (start if length is None else only_inside(start, length, first=1)).flip(-1)


def reflect_end(
    padded: Tensor, left: int, length: Tensor, begins: Tensor, ahead: int, stride: int
) -> None:
    """Reflect each row at its end, in place, as far as a convolution looks: `ahead` samples, and
    those that fill the last window.

    `padded` `[B, C, left + T + n]` has `left` columns of what came before, then the signal. A
    signal that `begins` here `[B]` and is too short to reflect is extended by zeros first, and
    reflected where these end, as in `nn.conv.reflect_pad`.
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
