"""Distance of complex spectra: it depends on phase as well as level."""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

WINDOWS = (256, 512, 1024, 2048)  # samples
_SILENCE = 1e-4  # amplitude of a spectrum's bin
_LEVEL_FLOOR = 1e-3  # of a clip's compressed spectrum


class ComplexSpectrumLoss(nn.Module):
    """Mean absolute difference of compressed complex spectra at several window lengths, hop a
    quarter, over each clip's level.

    Amplitudes are raised to `power` and phases kept: quiet parts of a spectrum then count more than
    their share of the energy. Division by the level makes quiet clips count like loud ones. Source:
    the compressed losses of speech enhancement (Ephrat et al., "Looking to Listen", arXiv
    1804.03619, section 4), here absolute and at several windows.

    `forward(reference, estimate)` takes `[B, C, T]` with T above half of the longest window.
    Always computed in float32.
    """

    def __init__(self, windows: Sequence[int] = WINDOWS, power: float = 0.5):
        super().__init__()
        self.windows = tuple(windows)
        self.power = power
        for window in windows:
            self.register_buffer(f"window_{window}", torch.hann_window(window), persistent=False)

    def forward(self, reference: Tensor, estimate: Tensor) -> Tensor:
        with torch.autocast(reference.device.type, enabled=False):
            a, b = (x.float().flatten(0, 1) for x in (reference, estimate))
            distances = [self._distance(a, b, window) for window in self.windows]
            return torch.stack(distances).mean()

    def _distance(self, reference: Tensor, estimate: Tensor, window: int) -> Tensor:
        a, b = (self._compressed(x, window) for x in (reference, estimate))
        level = a.abs().mean((1, 2, 3)) + _LEVEL_FLOOR
        return ((a - b).abs().mean((1, 2, 3)) / level).mean()

    def _compressed(self, x: Tensor, window: int) -> Tensor:
        """`[N, bins, frames, 2]`."""
        shape: Tensor = getattr(self, f"window_{window}")
        spectrum = torch.view_as_real(
            torch.stft(x, window, window // 4, window=shape, normalized=True, return_complex=True)
        )
        amplitude = (spectrum.square().sum(-1, keepdim=True) + _SILENCE**2).sqrt()
        return spectrum * amplitude.pow(self.power - 1)
