"""Audio for tests, made here."""

from functools import lru_cache

import torch
from torch import Tensor


def signal(channels: int, samples: int, sample_rate: int, seed: int = 0) -> Tensor:
    """Something between speech and music, `[channels, samples]` at `sample_rate` Hz, float32.

    Gliding harmonic tones that come and go, noise bursts and a quiet floor; the channels share
    some of it. Prefixes agree: a shorter signal of the same seed is the start of a longer one.
    """
    return _signal(channels, samples, sample_rate, seed).clone()


@lru_cache(maxsize=32)
def _signal(channels: int, samples: int, sample_rate: int, seed: int) -> Tensor:
    notes_per_second = 5
    generator = torch.Generator().manual_seed(seed)
    note = sample_rate // notes_per_second
    time = torch.arange(note, dtype=torch.float64) / sample_rate
    envelope = torch.hann_window(note, periodic=False, dtype=torch.float64)
    blocks = []
    for _ in range(-(-samples // note)):
        sides = torch.rand(channels, 1, generator=generator, dtype=torch.float64)
        pitch, glide, brightness, level, noisiness, phase = torch.rand(
            6, generator=generator, dtype=torch.float64
        ).tolist()
        start = 80 * 2 ** (3 * pitch)  # Hz
        angle = 2 * torch.pi * (start * time + 0.5 * start * (glide - 0.5) * 2 * time**2) + phase
        harmonics = sum(torch.sin(h * angle) / h ** (2 - 1.5 * brightness) for h in range(1, 9))
        noise = torch.randn(channels, note, generator=generator, dtype=torch.float64)
        tone = (0.3 + 0.7 * sides) * harmonics * envelope
        blocks.append(0.3 * level * (tone + 0.5 * noisiness**3 * noise) + 0.003 * noise)
    return torch.cat(blocks, dim=1)[:, :samples].clamp(-1, 1).float()
