"""Multi-scale STFT discriminator (paper section 3.4, figure 2; reference `msstftd.py`)."""

from collections.abc import Sequence
from typing import Any

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn.utils.parametrizations import weight_norm

DiscriminatorOutput = tuple[list[Tensor], list[list[Tensor]]]


class NormConv2d(nn.Module):
    """A 2-D convolution that keeps the size but for its stride, with or without weight norm."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: int = 1,
        normed: bool = True,
    ):
        super().__init__()
        padding = ((kernel[0] - 1) * dilation // 2, (kernel[1] - 1) // 2)
        conv = nn.Conv2d(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            dilation=(dilation, 1),
            padding=padding,
        )
        self.conv = weight_norm(conv) if normed else conv

    def forward(self, x: Tensor) -> Tensor:
        return self.conv(x)


class DiscriminatorSTFT(nn.Module):
    """Judges a waveform `[B, C, T]` by its complex spectrogram at one window length.

    Real and imaginary parts are channels; convolutions dilated 1, 2, 4 in time and of stride 2
    in frequency. Returns the logits `[B, 1, frames, bins]` and the five feature maps. The
    spectrogram is float32 under autocast too.
    """

    def __init__(
        self,
        filters: int,
        in_channels: int = 1,
        out_channels: int = 1,
        n_fft: int = 1024,
        hop_length: int = 256,
        win_length: int = 1024,
        max_filters: int = 1024,
        filters_scale: int = 1,
        kernel_size: tuple[int, int] = (3, 9),
        dilations: Sequence[int] = (1, 2, 4),
        stride: tuple[int, int] = (1, 2),
        normalized: bool = True,
    ):
        super().__init__()
        self.activation = nn.LeakyReLU(0.2)
        self.spec_transform = torchaudio.transforms.Spectrogram(
            n_fft=n_fft,
            hop_length=hop_length,
            win_length=win_length,
            normalized=normalized,
            center=False,
            power=None,
        )
        square = (kernel_size[0], kernel_size[0])
        # As in the reference, the first convolution is not normalised.
        layers = [NormConv2d(2 * in_channels, filters, kernel_size, normed=False)]
        width = filters
        for i, dilation in enumerate(dilations):
            wider = min(filters_scale ** (i + 1) * filters, max_filters)
            layers.append(NormConv2d(width, wider, kernel_size, stride=stride, dilation=dilation))
            width = wider
        wider = min(filters_scale ** (len(dilations) + 1) * filters, max_filters)
        layers.append(NormConv2d(width, wider, square))
        self.convs = nn.ModuleList(layers)
        self.conv_post = NormConv2d(wider, out_channels, square)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        with torch.autocast(x.device.type, enabled=False):
            z = self.spec_transform(x.float())
        z = torch.cat([z.real, z.imag], dim=1).transpose(2, 3)  # [B, 2C, frames, bins]
        features = []
        for conv in self.convs:
            z = self.activation(conv(z))
            features.append(z)
        return self.conv_post(z), features


class MultiScaleSTFTDiscriminator(nn.Module):
    """One `DiscriminatorSTFT` a window length; returns the logits and the features of each.

    Further keywords go to each of them. The reference's default are three scales.
    """

    def __init__(
        self,
        filters: int,
        in_channels: int = 1,
        out_channels: int = 1,
        n_ffts: Sequence[int] = (1024, 2048, 512),
        hop_lengths: Sequence[int] = (256, 512, 128),
        win_lengths: Sequence[int] = (1024, 2048, 512),
        **kwargs: Any,
    ):
        super().__init__()
        if not len(n_ffts) == len(hop_lengths) == len(win_lengths):
            raise ValueError("n_ffts, hop_lengths and win_lengths must be of the same length")
        self.discriminators = nn.ModuleList(
            DiscriminatorSTFT(
                filters,
                in_channels=in_channels,
                out_channels=out_channels,
                n_fft=n_fft,
                hop_length=hop,
                win_length=window,
                **kwargs,
            )
            for n_fft, hop, window in zip(n_ffts, hop_lengths, win_lengths, strict=True)
        )
        self.num_discriminators = len(self.discriminators)

    def forward(self, x: Tensor) -> DiscriminatorOutput:
        outputs = [discriminator(x) for discriminator in self.discriminators]
        return [logits for logits, _ in outputs], [features for _, features in outputs]
