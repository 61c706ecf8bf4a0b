"""Augmentation of training clips: mixing of sources, reverberation, level.

Source: paper section 4.1. One source with probability 0.64, two with 0.24, three (no music) with
0.12; reverberation with probability 0.2 and RT60 of 0.3 to 1.3 s, but none for music alone; gains
of -10 to 6 dB. Unlike in the paper, rooms are synthetic instead of measured, levels are those of
clips and not of whole files, and a clip that would overload is turned down, not rejected.

Beyond the paper, and only where asked for: quiet clips, noise, a limited band, clipping, and a
constant offset, as real recordings have them. The codec is to give back what it is given, so they
are in what it is compared with, too.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor
from torchaudio.functional import fftconvolve

from ...errors import SettingsError
from .batched import SMOOTH, band_limited, clipped, noisy


def uniform(low: float, high: float, generator: torch.Generator) -> float:
    """A number in [low, high)."""
    return low + (high - low) * float(torch.rand((), generator=generator))


@dataclass(frozen=True)
class Augmentation:
    """How clips are changed. Raises `SettingsError` for impossible values."""

    two_sources: float = 0.24  # probability of a mix of two
    three_sources: float = 0.12  # probability of a mix of three
    mix_db: tuple[float, float] = (-15.0, 0.0)  # of a further source, relative to the first
    reverberation: float = 0.2  # probability
    rt60: tuple[float, float] = (0.3, 1.3)  # s, in which a room's sound falls by 60 dB
    direct_db: tuple[float, float] = (0.0, 15.0)  # direct sound relative to the room's sound
    gain_db: tuple[float, float] = (-10.0, 6.0)
    inversion: float = 0.5  # probability of inverting the polarity
    quiet: float = 0.0  # probability of a gain of `quiet_db` instead
    quiet_db: tuple[float, float] = (-35.0, -10.0)
    noise: float = 0.0  # probability
    noise_db: tuple[float, float] = (-40.0, -5.0)  # relative to the clip
    band_limit: float = 0.0  # probability
    band_hz: tuple[float, float] = (2000.0, 8000.0)
    clipping: float = 0.0  # probability
    clipping_db: tuple[float, float] = (-15.0, -2.0)  # of the limit, relative to the peak
    offset: float = 0.0  # probability
    offset_between: tuple[float, float] = (-0.02, 0.02)

    def __post_init__(self) -> None:
        for name in _PROBABILITIES:
            if not 0 <= getattr(self, name) <= 1:
                raise SettingsError(f"{name} is a probability, not {getattr(self, name)}")
        if self.two_sources + self.three_sources > 1:
            raise SettingsError("two_sources and three_sources are more than 1 together")
        for name in _RANGES:
            low, high = getattr(self, name)
            if not (math.isfinite(low) and math.isfinite(high) and low <= high):
                raise SettingsError(f"{name} is a lowest and a highest value, not {low}, {high}")
        if self.rt60[0] <= 0 or self.band_hz[0] <= 0:
            raise SettingsError(f"rt60 and band_hz are positive, not {self.rt60}, {self.band_hz}")

    def draw_sources(self, generator: torch.Generator) -> int:
        """The number of sources to mix: 1, 2 or 3."""
        place = uniform(0, 1, generator)
        if place < self.three_sources:
            return 3
        return 2 if place < self.three_sources + self.two_sources else 1

    def mix(self, sources: list[Tensor], generator: torch.Generator) -> Tensor:
        """Sum of clips `[C, T]`, each further one at a random level relative to the first."""
        mixed = sources[0]
        for source in sources[1:]:
            wanted = _rms(sources[0]) * _factor(uniform(*self.mix_db, generator))
            present = _rms(source)
            if present > 0:
                mixed = mixed + source * (wanted / present)
        return mixed

    def reverberate(self, clip: Tensor, sample_rate: int, generator: torch.Generator) -> Tensor:
        """`clip` `[C, T]`, sometimes in a room; same length, same power."""
        if uniform(0, 1, generator) >= self.reverberation:
            return clip
        rt60 = uniform(*self.rt60, generator)
        direct = uniform(*self.direct_db, generator)
        response = room_response(clip.shape[0], rt60, direct, sample_rate, generator)
        length = clip.shape[-1]
        response = response[:, :length]  # the rest is cut off
        missing = -(length + response.shape[-1] - 1) % SMOOTH
        response = torch.nn.functional.pad(response, (0, missing))
        wet = fftconvolve(clip, response)[:, :length]
        power = _rms(wet)
        return wet * (_rms(clip) / power) if power > 0 else clip

    def level(self, clip: Tensor, generator: torch.Generator) -> Tensor:
        """`clip` with a random gain and polarity; a peak beyond 1 is scaled to 1."""
        factor = _factor(uniform(*self.gain_db, generator))
        if uniform(0, 1, generator) < self.inversion:
            factor = -factor
        if _happens(self.quiet, generator):
            factor = math.copysign(_factor(uniform(*self.quiet_db, generator)), factor)
        low, high = clip.aminmax()
        peak = abs(factor) * max(-float(low), float(high))
        return clip * (factor / max(1.0, peak))

    def wear(self, clip: Tensor, sample_rate: int | None, generator: torch.Generator) -> Tensor:
        """`clip` `[C, T]`, sometimes with noise, a limited band, clipping or an offset."""

        def between(low: float, high: float) -> Tensor:
            return torch.tensor([uniform(low, high, generator)])

        clips = clip[None]
        if _happens(self.noise, generator):
            noise = torch.randn(clips.shape, generator=generator)
            clips = noisy(clips, noise, between(*self.noise_db))
        if sample_rate is not None and _happens(self.band_limit, generator):
            clips = band_limited(clips, between(*self.band_hz), sample_rate)
        if _happens(self.clipping, generator):
            clips = clipped(clips, between(*self.clipping_db))
        if _happens(self.offset, generator):
            clips = clips + between(*self.offset_between)
        return clips[0]


_PROBABILITIES = (
    *("two_sources", "three_sources", "reverberation", "inversion"),
    *("quiet", "noise", "band_limit", "clipping", "offset"),
)
_RANGES = (
    *("mix_db", "rt60", "direct_db", "gain_db"),
    *("quiet_db", "noise_db", "band_hz", "clipping_db", "offset_between"),
)

AS_IT_IS = Augmentation(
    two_sources=0, three_sources=0, reverberation=0, gain_db=(0, 0), inversion=0
)
"""Changes nothing."""


def room_response(
    channels: int, rt60: float, direct_db: float, sample_rate: int, generator: torch.Generator
) -> Tensor:
    """Impulse response `[C, n]` of a room: the direct sound, then decaying noise.

    The noise falls by 60 dB in `rt60` seconds, differs between the channels, begins up to 20 ms
    after the direct sound (its first reflection) and lies `direct_db` below it in energy.
    """
    length = max(1, round(rt60 * sample_rate))
    time = torch.arange(length) / sample_rate
    tail = torch.randn(channels, length, generator=generator) * torch.exp(
        -math.log(1000) * time / rt60
    )
    tail *= _factor(-direct_db) / tail.square().sum(dim=1, keepdim=True).sqrt()
    delay = max(1, round(uniform(0.002, 0.02, generator) * sample_rate))
    response = torch.nn.functional.pad(tail, (delay, 0))
    response[:, 0] = 1
    return response


def _happens(probability: float, generator: torch.Generator) -> bool:
    """Draws only where it may: what else is drawn stays the same where it may not."""
    return probability > 0 and uniform(0, 1, generator) < probability


def _factor(db: float) -> float:
    return float(10 ** (db / 20))


def _rms(clip: Tensor) -> float:
    return math.sqrt(float(clip.square().mean()))
