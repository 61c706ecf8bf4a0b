"""Reconstruction losses. Source: paper section 3.4; waveforms are `[B, C, T]`."""

import torch
import torchaudio
from torch import Tensor, nn


def relative_l1(reference: Tensor, estimate: Tensor) -> Tensor:
    """Mean absolute error over the mean absolute reference, so that quiet clips count too."""
    level = reference.abs().mean((1, 2)) + 1e-3
    return ((reference - estimate).abs().mean((1, 2)) / level).mean()


class MultiScaleMelLoss(nn.Module):
    """L1 between log-mel spectrograms over several window lengths (2^5 … 2^11, hop a quarter).

    At most 64 bands; fewer where the window is too short to tell 64 apart.
    """

    def __init__(self, sample_rate: int, exponents: range = range(5, 12), n_mels: int = 64):
        super().__init__()
        self.scales = nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                sample_rate,
                n_fft=2**e,
                hop_length=2**e // 4,
                n_mels=min(n_mels, 2**e // 8),
                power=1,
                normalized="window",
            )
            for e in exponents
        )

    def forward(self, reference: Tensor, estimate: Tensor) -> Tensor:
        total = reference.new_zeros(())
        for mel in self.scales:
            pair = [torch.log10(mel(x).clamp(min=1e-5)) for x in (reference, estimate)]
            total = total + (pair[0] - pair[1]).abs().mean()
        return total / len(self.scales)
