"""SEANet encoder and decoder. Source: paper section 3.1, figure 1; reference `modules/seanet.py`.

encoder   [B, channels, T]  conv 7
                            4 x (residual unit, ELU, conv of stride r and twice the width)
                            LSTM, ELU, conv 7           ->  [B, dimension, ceil(T / hop)]
decoder   the mirror image, with transposed convolutions
"""

import math
from collections.abc import Sequence
from typing import TypedDict

from torch import Tensor, nn

from ..config import Norm
from .conv import SConv1d, SConvTranspose1d
from .lstm import SLSTM

RATIOS = (8, 5, 4, 2)  # in the decoder's order


class SEANetShape(TypedDict):
    """The sizes that encoder and decoder of one model share."""

    channels: int
    dimension: int
    n_filters: int
    n_residual_layers: int
    ratios: Sequence[int]
    norm: Norm
    causal: bool
    lstm: int


class SEANetResnetBlock(nn.Module):
    """Residual unit: ELU, conv 3 to half the width, ELU, conv 1 back; a conv 1 as the skip."""

    def __init__(self, dim: int, *, dilation: int, causal: bool, norm: Norm):
        super().__init__()
        hidden = dim // 2
        self.block = nn.Sequential(
            nn.ELU(),
            SConv1d(dim, hidden, 3, dilation=dilation, causal=causal, norm=norm),
            nn.ELU(),
            SConv1d(hidden, dim, 1, causal=causal, norm=norm),
        )
        self.shortcut = SConv1d(dim, dim, 1, causal=causal, norm=norm)

    def forward(self, x: Tensor) -> Tensor:
        return self.shortcut(x) + self.block(x)


class SEANetEncoder(nn.Module):
    """Waveform `[B, channels, T]` to latent `[B, dimension, ceil(T / hop_length)]`.

    `ratios` are given in the decoder's order and used in reverse here.
    """

    def __init__(
        self,
        channels: int = 1,
        dimension: int = 128,
        n_filters: int = 32,
        n_residual_layers: int = 1,
        ratios: Sequence[int] = RATIOS,
        norm: Norm = "weight_norm",
        causal: bool = False,
        lstm: int = 2,
    ):
        super().__init__()
        self.channels = channels
        self.dimension = dimension
        self.n_filters = n_filters
        self.n_residual_layers = n_residual_layers
        self.ratios = list(reversed(ratios))
        self.hop_length = math.prod(self.ratios)

        width = n_filters
        layers: list[nn.Module] = [SConv1d(channels, width, 7, causal=causal, norm=norm)]
        for ratio in self.ratios:
            layers += [
                SEANetResnetBlock(width, dilation=2**j, causal=causal, norm=norm)
                for j in range(n_residual_layers)
            ]
            layers += [
                nn.ELU(),
                SConv1d(width, 2 * width, 2 * ratio, stride=ratio, causal=causal, norm=norm),
            ]
            width *= 2
        if lstm:
            layers.append(SLSTM(width, lstm))
        layers += [nn.ELU(), SConv1d(width, dimension, 7, causal=causal, norm=norm)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class SEANetDecoder(nn.Module):
    """Latent `[B, dimension, T]` to waveform `[B, channels, T · hop_length]`."""

    def __init__(
        self,
        channels: int = 1,
        dimension: int = 128,
        n_filters: int = 32,
        n_residual_layers: int = 1,
        ratios: Sequence[int] = RATIOS,
        norm: Norm = "weight_norm",
        causal: bool = False,
        lstm: int = 2,
    ):
        super().__init__()
        self.channels = channels
        self.dimension = dimension
        self.n_filters = n_filters
        self.n_residual_layers = n_residual_layers
        self.ratios = list(ratios)
        self.hop_length = math.prod(self.ratios)

        width = n_filters * 2 ** len(self.ratios)
        layers: list[nn.Module] = [SConv1d(dimension, width, 7, causal=causal, norm=norm)]
        if lstm:
            layers.append(SLSTM(width, lstm))
        for ratio in self.ratios:
            layers += [
                nn.ELU(),
                SConvTranspose1d(
                    width, width // 2, 2 * ratio, stride=ratio, causal=causal, norm=norm
                ),
            ]
            width //= 2
            layers += [
                SEANetResnetBlock(width, dilation=2**j, causal=causal, norm=norm)
                for j in range(n_residual_layers)
            ]
        layers += [nn.ELU(), SConv1d(width, channels, 7, causal=causal, norm=norm)]
        self.model = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z)
