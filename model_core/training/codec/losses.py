"""Reconstruction losses between waveforms `[B, C, T]`. Source: paper section 3.4."""

import math
from collections.abc import Iterable

import torch
import torchaudio
from torch import Tensor, nn

LOG_FLOOR = 1e-5  # amplitude; audiocraft's `floor_level`
LEVEL_FLOOR = 1e-3  # amplitude below which `relative_l1` counts as silence


def l1(reference: Tensor, estimate: Tensor) -> Tensor:
    """Mean absolute error, the paper's loss in time."""
    return (reference - estimate).abs().mean()


def relative_l1(reference: Tensor, estimate: Tensor) -> Tensor:
    """`l1` of each clip over the clip's mean absolute value.

    In plain `l1`, quiet clips hardly count: a clip at -40 dB weighs a hundredth of a loud one.
    """
    level = reference.abs().mean((1, 2)) + LEVEL_FLOOR
    return ((reference - estimate).abs().mean((1, 2)) / level).mean()


class WaveformLoss(nn.Module):
    """`relative_l1` or `l1`."""

    def __init__(self, relative: bool):
        super().__init__()
        self._distance = relative_l1 if relative else l1

    def forward(self, reference: Tensor, estimate: Tensor) -> Tensor:
        return self._distance(reference, estimate)


def bands_for(window: int, sample_rate: int, most: int) -> int:
    """The number of mel bands, at most `most`, that a spectrum of `window` samples can resolve.

    Every band's triangle then contains a frequency of the spectrum (a multiple of
    `sample_rate / window` Hz).
    """
    spacing = sample_rate / window
    return next(n for n in range(most, 0, -1) if n == 1 or _all_filled(n, sample_rate, spacing))


def _all_filled(bands: int, sample_rate: int, spacing: float) -> bool:
    """Whether each of `bands` triangles from 0 to half the rate has a multiple of `spacing`."""
    top = 2595 * math.log10(1 + sample_rate / 2 / 700)  # the scale of torchaudio's filters (HTK)
    edges = [700 * (10 ** (top * i / (bands + 1) / 2595) - 1) for i in range(bands + 2)]
    margin = 1e-3 * spacing  # a frequency on the edge itself has no weight
    return all(
        math.floor((high - margin) / spacing) * spacing > low + margin
        for low, high in zip(edges, edges[2:], strict=False)
    )


class MultiScaleMelLoss(nn.Module):
    """Distance of mel spectrograms at several window lengths `2^e`, hop a quarter.

    The loss of a scale is the mean absolute difference of the mel amplitudes, plus alpha times the
    mean square difference of their decimal logarithms; the result is the mean over the scales. In
    the paper alpha is 1; with `scaled_alpha` it is `sqrt(2^e - 1)`, which favours long windows
    (audiocraft's `alphas`, after Gritsenko et al. 2020). Windows too short for `n_mels` bands have
    fewer.

    Amplitudes below `log_floor` count as silence. The gradient of log x is that of x divided by x:
    with a floor far below the level of speech, nearly all gradient goes into the quietest moments,
    and loud high frequencies stay 16 dB too weak in a short run.

    Always computed in float32. `forward(reference, estimate)` takes `[B, C, T]` with T above half
    of the longest window.
    """

    def __init__(
        self,
        sample_rate: int,
        n_mels: int = 64,
        exponents: Iterable[int] = range(5, 12),
        scaled_alpha: bool = False,
        log_floor: float = LOG_FLOOR,
    ):
        super().__init__()
        self.log_floor = log_floor
        windows = [2**e for e in exponents]
        self.alphas = [math.sqrt(w - 1) if scaled_alpha else 1.0 for w in windows]
        self.scales = nn.ModuleList(
            torchaudio.transforms.MelSpectrogram(
                sample_rate,
                n_fft=window,
                hop_length=window // 4,
                n_mels=bands_for(window, sample_rate, n_mels),
                power=1,
                normalized="window",
            )
            for window in windows
        )

    def forward(self, reference: Tensor, estimate: Tensor) -> Tensor:
        with torch.autocast(reference.device.type, enabled=False):
            pair = reference.float(), estimate.float()
            total = pair[0].new_zeros(())
            for mel, alpha in zip(self.scales, self.alphas, strict=True):
                a, b = (mel(x) for x in pair)
                logs = [torch.log10(self.log_floor + x) for x in (a, b)]
                total = total + l1(a, b) + alpha * (logs[0] - logs[1]).square().mean()
            return total / len(self.scales)
