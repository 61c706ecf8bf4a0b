"""The input: seeded audio of any length, and seeded codes of audio of any length."""

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from model_core.config import ModelConfig
from model_core.ecdc import BitPacker, Header, scale_to_bytes, segments

Floats = npt.NDArray[np.float32]
Codes = npt.NDArray[np.int64]

PIECE_SECONDS = 10
"""Longer audio repeats a piece of this length."""


def sound(channels: int, samples: int, rate: int, seed: int = 0) -> Floats:
    """A voice-like sound, `[C, n]`: syllables of gliding harmonics over noise."""
    rng = np.random.default_rng(seed)
    t = np.arange(samples) / rate
    syllables = np.abs(np.sin(np.pi * (3 + rng.random()) * t + rng.random())) ** 2
    pitch = 110 * 2 ** rng.uniform(0, 1) * (1 + 0.1 * np.sin(2 * np.pi * 0.7 * t))
    phase = 2 * np.pi * np.cumsum(pitch) / rate
    voice = sum(rng.uniform(0.3, 1) / k * np.sin(k * phase) for k in range(1, 12))
    breath = rng.normal(0, 0.05, (channels, samples))
    return np.asarray(0.15 * syllables * voice + 0.2 * breath, np.float32)


@dataclass(frozen=True)
class Clip:
    """Audio of `seconds` at a model's rate and channels."""

    config: ModelConfig
    seconds: float

    @property
    def samples(self) -> int:
        return round(self.seconds * self.config.sample_rate)

    def pieces(self) -> Iterator[Floats]:
        """Pieces `[C, n]`, none longer than `PIECE_SECONDS`."""
        piece = self._piece()
        for start in range(0, self.samples, PIECE_SECONDS * self.config.sample_rate):
            yield piece[:, : self.samples - start]

    def whole(self) -> Floats:
        """All of it, `[C, n]`."""
        piece, samples = self._piece(), self.samples
        return np.tile(piece, (1, -(-samples // piece.shape[1])))[:, :samples]

    def _piece(self) -> Floats:
        rate = self.config.sample_rate
        longest = PIECE_SECONDS * rate
        return sound(self.config.channels, longest, rate)[:, : self.samples]


@dataclass(frozen=True)
class CodedClip:
    """Random codes of audio of `seconds`: the speed of decoding does not depend on the codes."""

    clip: Clip
    bandwidth: float  # kbps

    @property
    def codebooks(self) -> int:
        return self.clip.config.codebooks_for(self.bandwidth)

    def frames(self) -> Iterator[tuple[Codes, float | None]]:
        """Codes `[K, T]` and scale of each segment."""
        config = self.clip.config
        rng = np.random.default_rng(0)
        for segment in segments(config, self.clip.samples):
            codes = rng.integers(0, config.bins, (self.codebooks, segment.frames))
            yield codes, 0.1 if config.normalize else None

    def header(self, model: str) -> Header:
        """The header of an `.ecdc` file; `model` is its name of the model and weights."""
        return Header(model, self.clip.samples, self.codebooks, lm=False)

    def payload(self) -> bytes:
        """The rest of that file."""
        parts = []
        for codes, scale in self.frames():
            packer = BitPacker(self.clip.config.bits_per_codebook)
            parts.append(b"" if scale is None else scale_to_bytes(scale))
            parts += [packer.push(codes.T.ravel()), packer.flush()]
        return b"".join(parts)
