"""What clients post: short clips as people have them, and long files."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_core.audio import pcm16, wav_header

from ..clips import Clip, CodedClip, sound

_CLIPS = 48
_RATES = (16_000, 24_000, 44_100, 48_000)  # Hz
_TYPICAL, _SPREAD = 2.5, 0.6  # s; of the logarithm
_SHORTEST, _LONGEST = 0.5, 10.0  # s


@dataclass(frozen=True)
class Upload:
    """A 16-bit WAV."""

    body: bytes
    seconds: float


def clip(seconds: float, rate: int = 24_000, channels: int = 1, seed: int = 0) -> Upload:
    """One clip."""
    samples = sound(channels, round(seconds * rate), rate, seed)
    return Upload(wav_header(rate, channels, samples.shape[1]) + pcm16(samples), seconds)


def short_clips() -> Sequence[Upload]:
    """Always the same ones: half a second to ten, most about two and a half, of several rates,
    mono and stereo."""
    rng = np.random.default_rng(1)
    lengths = np.clip(_TYPICAL * np.exp(rng.normal(0, _SPREAD, _CLIPS)), _SHORTEST, _LONGEST)
    return [
        clip(float(seconds), int(rng.choice(_RATES)), int(rng.integers(1, 3)), seed)
        for seed, seconds in enumerate(lengths)
    ]


def write_wav(long: Clip, path: Path) -> Path:
    """A long WAV at the model's rate and channels."""
    config = long.config
    with path.open("wb") as file:
        file.write(wav_header(config.sample_rate, config.channels, long.samples))
        for piece in long.pieces():
            file.write(pcm16(piece))
    return path


def write_ecdc(coded: CodedClip, header_model: str, path: Path) -> Path:
    """A long `.ecdc` file of random codes."""
    path.write_bytes(coded.header(header_model).to_bytes() + coded.payload())
    return path
