"""How differently two clips are heard: the disturbance of ITU-T P.862 (PESQ), as a loss."""

import torch
from torch import Tensor, nn

_WINDOW = 0.032  # s; frames overlap by half
_TOP = 8000.0  # Hz
_BANDS = 49
_LEVEL = 10**7.9  # power of a clip: 79 dB, at which people listen
_SILENCE = 1e-8  # mean power of samples; what is quieter is not made as loud as the rest
_EXPONENT = 0.23  # Zwicker's, of loudness
_SONE = 0.1866  # P.862's scale of loudness
_SYMMETRIC, _ASYMMETRIC = 0.1, 0.0309  # what a disturbance takes from the score
_MOST = 45.0  # that a frame's disturbance counts
_TOGETHER = 20  # frames, 0.3 s: the worst of them counts most
_TINY = 1e-12


def bark(hertz: Tensor) -> Tensor:
    """The critical-band rate. Source: Traunmüller 1990."""
    return 26.81 * hertz / (1960 + hertz) - 0.53


def hertz(bark: Tensor) -> Tensor:
    """The inverse of `bark`."""
    return 1960 * (bark + 0.53) / (26.28 - bark)


def threshold_in_quiet(hertz: Tensor) -> Tensor:
    """The power that can just be heard, 1 at 0 dB. Source: Terhardt 1979."""
    khz = hertz / 1000
    decibels = 3.64 * khz**-0.8 - 6.5 * torch.exp(-0.6 * (khz - 3.3).square()) + 1e-3 * khz.pow(4)
    return 10 ** (decibels / 10)


class LoudnessLoss(nn.Module):
    """The differences of loudness in 49 bands up to 8 kHz, as P.862 takes them from a score of 4.5
    (of speech about two thirds of what that takes).

    A difference counts from a quarter of the fainter of the two on, and again, weighted by how much
    was added, where the estimate has power that the reference has not. As in P.862, differences of
    level between bands (over the clip) and between frames are evened out first: other losses see
    them. Its alignment in time is left out, as a codec delays nothing, and bands and thresholds are
    those of published formulas, not of its tables. Both clips are scaled by the level of the
    reference, so that quiet clips count like loud ones.

    `forward(reference, estimate)` takes `[B, C, T]` with T of at least 0.032 s; always computed in
    float32.
    """

    filters: Tensor
    thresholds: Tensor
    hann: Tensor

    def __init__(self, sample_rate: int):
        super().__init__()
        self.window = round(_WINDOW * sample_rate)
        spacing = sample_rate / self.window
        bins = spacing * torch.arange(self.window // 2 + 1)
        lowest, highest = bark(torch.tensor([spacing / 2, _TOP])).tolist()
        self.width = (highest - lowest) / _BANDS
        edges = lowest + self.width * torch.arange(_BANDS + 1)
        centres = hertz((edges[:-1] + edges[1:]) / 2)
        self.register_buffer("filters", _shares(bins, spacing, edges), persistent=False)
        self.register_buffer("thresholds", threshold_in_quiet(centres)[:, None], persistent=False)
        self.register_buffer("hann", torch.hann_window(self.window), persistent=False)

    def forward(self, reference: Tensor, estimate: Tensor) -> Tensor:
        with torch.autocast(reference.device.type, enabled=False):
            a, b = (self._powers(x.float().flatten(0, 1)) for x in (reference, estimate))
            silence = _SILENCE * self.window / 2 * self.hann.square().sum()
            scale = _LEVEL / a.sum(1).mean(1).clamp(min=silence)[:, None, None]
            return self._disturbance(*_evened(scale * a, scale * b)).mean()

    def _powers(self, clips: Tensor) -> Tensor:
        """`[N, bands, frames]`, of `[N, T]`."""
        spectrum = torch.stft(
            clips,
            self.window,
            self.window // 2,
            window=self.hann,
            center=False,
            return_complex=True,
        )
        return self.filters @ torch.view_as_real(spectrum).square().sum(-1)

    def _loudness(self, powers: Tensor) -> Tensor:
        """Sone, after Zwicker; 0 for what cannot be heard."""
        heard = (powers / self.thresholds).clamp(min=1)
        scale = _SONE * (2 * self.thresholds) ** _EXPONENT
        return scale * ((0.5 + 0.5 * heard) ** _EXPONENT - 1)

    def _disturbance(self, a: Tensor, b: Tensor) -> Tensor:
        """`[N]`, of the powers of the reference and of the estimate."""
        loud = self._loudness(a), self._loudness(b)
        difference = (loud[1] - loud[0]).abs() - torch.minimum(*loud) / 4
        difference = self.width * difference.clamp(min=0)
        added = ((b.detach() + 50) / (a + 50)) ** 1.2
        added = torch.where(added < 3, 0, added.clamp(max=12))
        total = self.width * _BANDS
        symmetric = (difference.square().sum(1) * total + _TINY).sqrt()
        asymmetric = (added * difference).sum(1)
        return _SYMMETRIC * _over_time(symmetric) + _ASYMMETRIC * _over_time(asymmetric)


def _shares(bins: Tensor, spacing: float, edges: Tensor) -> Tensor:
    """`[bands, bins]`: which share of a bin, `spacing` wide, lies between two edges."""
    low, high = bark((bins - spacing / 2).clamp(min=0)), bark(bins + spacing / 2)
    common = torch.minimum(edges[1:, None], high) - torch.maximum(edges[:-1, None], low)
    return common.clamp(min=0) / (high - low)


def _evened(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """The reference with the mean spectrum of the estimate, and the estimate with the level that
    this has in each frame, both as far as P.862 goes."""
    tilt = (b.mean(2, keepdim=True) + 1e3) / (a.mean(2, keepdim=True) + 1e3)
    a = tilt.clamp(0.01, 100) * a
    gain = (a.sum(1, keepdim=True) + 5e3) / (b.sum(1, keepdim=True) + 5e3)
    smooth = 0.8 * gain[..., 1:] + 0.2 * gain[..., :-1]
    return a, torch.cat([gain[..., :1], smooth], 2).clamp(3e-4, 5) * b


def _over_time(frames: Tensor) -> Tensor:
    """`[N]`, of `[N, frames]`: the mean of windows, in which the worst frames count most."""
    length = min(_TOGETHER, frames.shape[1])
    windows = frames.clamp(max=_MOST).unfold(1, length, max(1, length // 2))
    worst = (windows.pow(6).mean(2) + _TINY) ** (1 / 6)
    return worst.square().mean(1).sqrt()
