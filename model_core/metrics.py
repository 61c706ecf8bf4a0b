"""Measures of how close decoded audio is to its original. Shapes are `[..., T]`."""

import torch
import torchaudio
from torch import Tensor
from torch.nn.functional import pad

_WINDOW = 2048  # samples
_HOP = 512  # samples


def si_snr(reference: Tensor, estimate: Tensor) -> Tensor:
    """Scale-invariant signal-to-noise ratio in dB (Luo and Mesgarani 2018), `[..., T] -> [...]`."""
    reference = reference - reference.mean(-1, keepdim=True)
    estimate = estimate - estimate.mean(-1, keepdim=True)
    energy = reference.pow(2).sum(-1, keepdim=True)
    target = (estimate * reference).sum(-1, keepdim=True) / (energy + 1e-12) * reference
    noise = estimate - target
    return 10 * torch.log10((target.pow(2).sum(-1) + 1e-12) / (noise.pow(2).sum(-1) + 1e-12))


def log_mel_distance(reference: Tensor, estimate: Tensor, sample_rate: int) -> Tensor:
    """Mean of the absolute differences, in dB, of two mel spectrograms: `[..., T] -> [...]`.

    80 mel bands of amplitude, window 2048, hop 512, floor 1e-4. Silence is added to fewer than
    1025 samples: the windows reach half their length beyond the ends, by reflection.
    """
    missing = _WINDOW // 2 + 1 - reference.shape[-1]
    if missing > 0:
        reference, estimate = pad(reference, (0, missing)), pad(estimate, (0, missing))
    mel = torchaudio.transforms.MelSpectrogram(
        sample_rate, n_fft=_WINDOW, hop_length=_HOP, n_mels=80, power=1
    ).to(reference)
    decibel = [20 * torch.log10(mel(x).clamp(min=1e-4)) for x in (reference, estimate)]
    return (decibel[0] - decibel[1]).abs().mean((-2, -1))
