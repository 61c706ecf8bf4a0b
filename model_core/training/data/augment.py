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

from ...errors import SettingsError


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
