"""SEANet encoder and decoder. Source: paper section 3.1, figure 1; reference `modules/seanet.py`,
`modules/lstm.py`.

encoder   [B, channels, T]  conv 7
                            4 x (residual unit, ELU, conv of stride r and twice the width)
                            LSTM, ELU, conv 7           ->  [B, dimension, ceil(T / hop)]
decoder   the mirror image, with transposed convolutions
"""

import torch
from torch import Tensor, nn

from ..config import ModelConfig, Norm
from .conv import SConv1d, SConvTranspose1d

LSTMState = tuple[Tensor, Tensor]


class SLSTM(nn.Module):
    """A stack of LSTM layers over `[B, C, T]` with a skip connection around all of them."""

    def __init__(self, dimension: int, num_layers: int = 2):
        super().__init__()
        self.lstm = nn.LSTM(dimension, dimension, num_layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.step(x, None)[0]

    def step(self, x: Tensor, state: LSTMState | None) -> tuple[Tensor, LSTMState]:
        """Continue from `state`, `(h, c)` of `[num_layers, B, C]` each; None starts from zeros."""
        x = x.permute(2, 0, 1)
        y, state = self.lstm(x, state)
        return torch.permute(y + x, (1, 2, 0)), state


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
    """Waveform `[B, channels, T]` to latent `[B, dimension, ceil(T / hop_length)]`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        width, causal, norm = config.n_filters, config.causal, config.norm
        layers: list[nn.Module] = [SConv1d(config.channels, width, 7, causal=causal, norm=norm)]
        for ratio in reversed(config.ratios):
            layers += _residual_units(width, config)
            down = SConv1d(width, 2 * width, 2 * ratio, stride=ratio, causal=causal, norm=norm)
            layers += [nn.ELU(), down]
            width *= 2
        if config.lstm:
            layers.append(SLSTM(width, config.lstm))
        layers += [nn.ELU(), SConv1d(width, config.dimension, 7, causal=causal, norm=norm)]
        self.model = nn.Sequential(*layers)

    def forward(self, x: Tensor) -> Tensor:
        return self.model(x)


class SEANetDecoder(nn.Module):
    """Latent `[B, dimension, T]` to waveform `[B, channels, T · hop_length]`."""

    def __init__(self, config: ModelConfig):
        super().__init__()
        causal, norm = config.causal, config.norm
        width = config.n_filters * 2 ** len(config.ratios)
        layers: list[nn.Module] = [SConv1d(config.dimension, width, 7, causal=causal, norm=norm)]
        if config.lstm:
            layers.append(SLSTM(width, config.lstm))
        for ratio in config.ratios:
            half, kernel = width // 2, 2 * ratio
            up = SConvTranspose1d(width, half, kernel, stride=ratio, causal=causal, norm=norm)
            layers += [nn.ELU(), up, *_residual_units(half, config)]
            width = half
        layers += [nn.ELU(), SConv1d(width, config.channels, 7, causal=causal, norm=norm)]
        self.model = nn.Sequential(*layers)

    def forward(self, z: Tensor) -> Tensor:
        return self.model(z)


def _residual_units(width: int, config: ModelConfig) -> list[nn.Module]:
    return [
        SEANetResnetBlock(width, dilation=2**j, causal=config.causal, norm=config.norm)
        for j in range(config.n_residual_layers)
    ]
