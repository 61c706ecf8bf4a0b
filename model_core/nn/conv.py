"""Convolutions with EnCodec's padding and its two normalisations.

Shapes are `[B, C, T]`. Source: paper section 3.1; reference `modules/conv.py`.
"""

import math
from collections import OrderedDict

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..config import Norm


class WeightNormConv1d(nn.Conv1d):
    """`nn.Conv1d` with the weight `g · v / ‖v‖`, one norm per output channel."""

    weight_g: Tensor
    weight_v: Tensor

    def __init__(
        self, in_channels: int, out_channels: int, kernel_size: int, stride: int, dilation: int
    ):
        super().__init__(in_channels, out_channels, kernel_size, stride, dilation=dilation)
        _split_weight(self)

    def forward(self, x: Tensor) -> Tensor:
        return self._conv_forward(x, joined_weight(self), self.bias)


class WeightNormConvTranspose1d(nn.ConvTranspose1d):
    """`nn.ConvTranspose1d` with the weight `g · v / ‖v‖`, one norm per *input* channel.

    (Dimension 0 of its weight is the input, and the reference keeps torch's default dimension.)
    """

    weight_g: Tensor
    weight_v: Tensor

    def __init__(self, in_channels: int, out_channels: int, kernel_size: int, stride: int):
        super().__init__(in_channels, out_channels, kernel_size, stride)
        _split_weight(self)

    def forward(self, x: Tensor, output_size: list[int] | None = None) -> Tensor:
        return F.conv_transpose1d(x, joined_weight(self), self.bias, self.stride)


WeightNormed = WeightNormConv1d | WeightNormConvTranspose1d


def _split_weight(conv: WeightNormed) -> None:
    weight = conv.weight.detach()
    del conv.weight
    conv.weight_g = nn.Parameter(torch.norm_except_dim(weight, 2, 0))
    conv.weight_v = nn.Parameter(weight.clone())


def joined_weight(conv: WeightNormed) -> Tensor:
    """The plain weight of `conv`."""
    if "weight" in conv._parameters:
        return conv.weight
    return torch._weight_norm(conv.weight_v, conv.weight_g, 0)


def set_weight(conv: WeightNormed, weight: Tensor) -> None:
    """Give `conv` the plain `weight`; a norm of 0 is in `weight_g` alone. Call it without grad."""
    norm = torch.norm_except_dim(weight, 2, 0)
    conv.weight_g.copy_(norm)
    conv.weight_v.copy_(torch.where(norm > 0, weight, 1.0))


def fold_weight_norm(module: nn.Module) -> None:
    """Replace each pair `weight_g`, `weight_v` below `module` by its weight, in place.

    For inference: the output is bit for bit the same, and no call computes the norm again.
    """
    for conv in module.modules():
        if isinstance(conv, WeightNormConv1d | WeightNormConvTranspose1d) and (
            "weight_v" in conv._parameters
        ):
            weight = joined_weight(conv).detach()
            del conv.weight_g, conv.weight_v
            conv.weight = nn.Parameter(weight, requires_grad=False)


def extra_padding(length: int, kernel_size: int, stride: int, padding_total: int) -> int:
    """Samples to add on the right so that the last window of a strided convolution is full.

    With kernel 4, stride 2 and `padding_total` 2, five samples make two full windows and a half:

        0 0 1 2 3 4 5        0 0 1 2 3 4 5 x
        [-----]              [-----]
            [-----]    ->        [-----]
                [---                 [-----]   one more, so no sample is lost
    """
    frames = math.ceil((length - kernel_size + padding_total) / stride + 1)
    return (frames - 1) * stride + (kernel_size - padding_total) - length


def reflect_pad(x: Tensor, left: int, right: int) -> Tensor:
    """Reflect padding of `[B, C, T]` that also takes inputs too short to reflect.

    Such an input is extended by zeros on the right, reflected, and then shortened by as many
    samples (reference `pad1d`).
    """
    if left == right == 0:
        return x
    missing = max(0, max(left, right) - x.shape[-1] + 1)
    if missing:
        x = F.pad(x, (0, missing))
    # What F.pad(mode="reflect") gives, several times as fast on a CPU, backwards too.
    before = x[..., 1 : left + 1].flip(-1)
    after = x[..., x.shape[-1] - right - 1 : x.shape[-1] - 1].flip(-1)
    padded = torch.cat([before, x, after], dim=-1)
    return padded[..., : padded.shape[-1] - missing]


def _with_norm(name: str, conv: nn.Conv1d | nn.ConvTranspose1d, norm: Norm) -> nn.Sequential:
    """`conv`, and the norm of its output if it has one, under the names of the reference."""
    after = nn.GroupNorm(1, conv.out_channels) if norm == "time_group_norm" else nn.Identity()
    return nn.Sequential(OrderedDict([(name, conv), ("norm", after)]))


class SConv1d(nn.Module):
    """Convolution `[B, C, T] -> [B, C', ceil(T / stride)]` with reflect padding.

    Causal: all fixed padding is on the left. Otherwise it is on both sides, the larger part on the
    left. The extra padding that fills the last window is always on the right.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int = 1,
        dilation: int = 1,
        causal: bool,
        norm: Norm,
    ):
        super().__init__()
        if causal and norm == "time_group_norm":
            raise ValueError("group norm over time looks ahead: it cannot be causal")
        make = WeightNormConv1d if norm == "weight_norm" else nn.Conv1d
        conv = make(in_channels, out_channels, kernel_size, stride, dilation=dilation)
        self.conv = _with_norm("conv", conv, norm)
        self.stride = stride
        self.window = (kernel_size - 1) * dilation + 1
        self.padding_total = self.window - stride
        self.padding_right = 0 if causal else self.padding_total // 2

    def forward(self, x: Tensor) -> Tensor:
        left = self.padding_total - self.padding_right
        extra = extra_padding(x.shape[-1], self.window, self.stride, self.padding_total)
        return self.conv(reflect_pad(x, left, self.padding_right + extra))


class SConvTranspose1d(nn.Module):
    """Transposed convolution `[B, C, T] -> [B, C', T · stride]`.

    The `kernel_size - stride` surplus samples are trimmed: on the right if causal, otherwise on
    both sides. What the encoder's extra padding adds is trimmed by the caller that knows the
    length.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: int,
        *,
        stride: int,
        causal: bool,
        norm: Norm,
    ):
        super().__init__()
        make = WeightNormConvTranspose1d if norm == "weight_norm" else nn.ConvTranspose1d
        conv = make(in_channels, out_channels, kernel_size, stride)
        self.convtr = _with_norm("convtr", conv, norm)
        self.stride = stride
        self.padding_total = kernel_size - stride
        self.trimmed_right = self.padding_total if causal else self.padding_total // 2

    def forward(self, x: Tensor) -> Tensor:
        y = self.convtr(x)
        left = self.padding_total - self.trimmed_right
        return y[..., left : y.shape[-1] - self.trimmed_right]
