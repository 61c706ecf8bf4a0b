"""Multi-scale STFT discriminator (paper section 3.4, figure 2; reference `msstftd.py`)."""

from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal, get_args

import torch
import torchaudio
from torch import Tensor, nn
from torch.nn.utils import spectral_norm

DiscriminatorOutput = tuple[list[Tensor], list[list[Tensor]]]

Norm = Literal["none", "weight_norm", "spectral_norm", "time_group_norm"]
"""The reference's norms that have an effect on a spectrogram and run."""

_LEAKY = MappingProxyType({"negative_slope": 0.2})
_PARAMETRIZED = {
    "parametrizations.weight.original0": "weight_g",
    "parametrizations.weight.original1": "weight_v",
}


class WeightNormConv2d(nn.Conv2d):
    """`nn.Conv2d` with the weight `g · v / ‖v‖`, one norm per output channel.

    Its tensors are `weight_g` and `weight_v`, as in the reference. It also loads them under the
    names of `torch.nn.utils.parametrizations`, which older states have.
    """

    weight_g: Tensor
    weight_v: Tensor

    def __init__(self, *args: Any, **kwargs: Any):
        super().__init__(*args, **kwargs)
        weight = self.weight.detach()
        del self.weight
        self.weight_g = nn.Parameter(torch.norm_except_dim(weight, 2, 0))
        self.weight_v = nn.Parameter(weight.clone())

    def forward(self, x: Tensor) -> Tensor:
        weight = torch._weight_norm(self.weight_v, self.weight_g, 0)
        return self._conv_forward(x, weight, self.bias)

    def _load_from_state_dict(self, state_dict: dict[str, Any], prefix: str, *args: Any) -> None:
        for old, name in _PARAMETRIZED.items():
            if prefix + old in state_dict:
                state_dict[prefix + name] = state_dict.pop(prefix + old)
        super()._load_from_state_dict(state_dict, prefix, *args)


class NormConv2d(nn.Module):
    """A 2-D convolution that keeps the size (divided by its stride), normalised or not.

    Raises `ValueError` for a norm that is not a `Norm`.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel: tuple[int, int],
        *,
        stride: tuple[int, int] = (1, 1),
        dilation: int = 1,
        norm: Norm = "none",
    ):
        super().__init__()
        if norm not in get_args(Norm):
            raise ValueError(f"no norm {norm!r}; there is {', '.join(get_args(Norm))}")
        padding = ((kernel[0] - 1) * dilation // 2, (kernel[1] - 1) // 2)
        make = WeightNormConv2d if norm == "weight_norm" else nn.Conv2d
        conv = make(
            in_channels,
            out_channels,
            kernel,
            stride=stride,
            dilation=(dilation, 1),
            padding=padding,
        )
        self.conv = spectral_norm(conv) if norm == "spectral_norm" else conv
        self.norm = nn.GroupNorm(1, out_channels) if norm == "time_group_norm" else nn.Identity()

    def forward(self, x: Tensor) -> Tensor:
        return self.norm(self.conv(x))


class DiscriminatorSTFT(nn.Module):
    """A discriminator of waveforms `[B, C, T]` on the complex spectrogram at one window length.

    Real and imaginary parts are channels; the convolutions have dilations 1, 2, 4 in time and
    stride 2 in frequency. Returns the logits `[B, 1, frames, bins]` and the five feature maps. The
    spectrogram is float32 even under autocast. `activation` is the name of a class in `torch.nn`,
    `activation_params` its arguments.
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
        norm: Norm = "weight_norm",
        activation: str = "LeakyReLU",
        activation_params: Mapping[str, Any] = _LEAKY,
    ):
        super().__init__()
        self.activation = getattr(nn, activation)(**activation_params)
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
        layers = [NormConv2d(2 * in_channels, filters, kernel_size)]
        width = filters
        for i, dilation in enumerate(dilations):
            wider = min(filters_scale ** (i + 1) * filters, max_filters)
            layers.append(
                NormConv2d(width, wider, kernel_size, stride=stride, dilation=dilation, norm=norm)
            )
            width = wider
        wider = min(filters_scale ** (len(dilations) + 1) * filters, max_filters)
        layers.append(NormConv2d(width, wider, square, norm=norm))
        self.convs = nn.ModuleList(layers)
        self.conv_post = NormConv2d(wider, out_channels, square, norm=norm)

    def forward(self, x: Tensor) -> tuple[Tensor, list[Tensor]]:
        with torch.autocast(x.device.type, enabled=False):
            z = self.spec_transform(x.float())
        z = torch.cat([z.real, z.imag], dim=1).transpose(2, 3)  # [B, 2C, frames, bins]
        z = z.contiguous(memory_format=torch.channels_last)  # faster convolutions
        features = []
        for conv in self.convs:
            z = self.activation(conv(z))
            features.append(z)
        return self.conv_post(z), features


class MultiScaleSTFTDiscriminator(nn.Module):
    """One `DiscriminatorSTFT` per window length; returns the logits and the features of each.

    The other keywords are passed to each of them. The defaults are the reference's three scales.
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
