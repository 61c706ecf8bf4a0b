"""Augmentations for a batch of clips `[B, C, T]` on any device.

Random draws are arguments. No value is read from the device, so the host does not wait for it.
"""

import math

import torch
from torch import Tensor

SMOOTH = 1024  # FFTs are fast for multiples of this
_ORDER = 8  # of the Butterworth filter whose magnitude `band_limited` has


def rms(clips: Tensor) -> Tensor:
    """Root mean square of each clip, `[B, 1, 1]`."""
    return clips.square().mean(dim=(1, 2), keepdim=True).sqrt()


def factor(db: Tensor) -> Tensor:
    """Decibels `[B]` as factors, `[B, 1, 1]`."""
    return (10 ** (db / 20))[:, None, None]


def mixed(clips: Tensor, sources: Tensor, level_db: Tensor, first: Tensor) -> Tensor:
    """`clips` with one more source each, at `level_db` `[B]` relative to the clips in `first`."""
    present = rms(sources)
    gain = torch.where(present > 0, rms(first) * factor(level_db) / present, 0)
    return clips + sources * gain


def room_responses(
    noise: Tensor, rt60: Tensor, direct_db: Tensor, delay: Tensor, length: int, sample_rate: int
) -> Tensor:
    """Impulse responses `[B, C, length]` of rooms: the direct sound, then decaying noise.

    The noise falls by 60 dB in `rt60` seconds, begins `delay` samples after the direct sound (its
    first reflection) and lies `direct_db` below it in energy; all three are `[B]`. `noise`
    `[B, C, n]` is at least as long as the longest response.
    """
    n = torch.arange(noise.shape[-1], device=noise.device)
    seconds = rt60[:, None, None]
    envelope = torch.exp(-math.log(1000) * n / sample_rate / seconds)
    sounds = n < (seconds * sample_rate).round().clamp(min=1)
    tail = torch.where(sounds, noise * envelope, 0)
    tail = tail * factor(-direct_db) / tail.square().sum(dim=2, keepdim=True).sqrt()
    place = torch.arange(length, device=noise.device) - delay[:, None]
    index = place.clamp(0, noise.shape[-1] - 1)[:, None].expand(-1, noise.shape[1], -1)
    inside = ((place >= 0) & (place < noise.shape[-1]))[:, None]
    response = torch.where(inside, tail.gather(2, index), 0)
    response[..., 0] = 1
    return response


def reverberated(clips: Tensor, responses: Tensor) -> Tensor:
    """Each clip in its room, cut to its length and scaled to its power."""
    length = clips.shape[-1]
    size = length + responses.shape[-1] - 1
    size += -size % SMOOTH
    spectrum = torch.fft.rfft(clips, size) * torch.fft.rfft(responses, size)
    wet = torch.fft.irfft(spectrum, size)[..., :length]
    power = rms(wet)
    return torch.where(power > 0, wet * (rms(clips) / power), clips)


def levelled(clips: Tensor, factors: Tensor) -> Tensor:
    """Each clip times its factor `[B]`; a peak beyond 1 is scaled to 1."""
    scale = factors[:, None, None]
    peak = scale.abs() * clips.abs().amax(dim=(1, 2), keepdim=True)
    return clips * (scale / peak.clamp(min=1))


def noisy(clips: Tensor, noise: Tensor, level_db: Tensor) -> Tensor:
    """Each clip with `noise` of its shape, at `level_db` `[B]` relative to the clip."""
    return mixed(clips, noise, level_db, clips)


def band_limited(clips: Tensor, hz: Tensor, sample_rate: int) -> Tensor:
    """Each clip without what is above `hz` `[B]`, with a slope of 48 dB an octave."""
    length = clips.shape[-1]
    size = length + -length % SMOOTH
    frequency = torch.fft.rfftfreq(size, 1 / sample_rate, device=clips.device)
    gain = (1 + (frequency / hz[:, None]) ** (2 * _ORDER)).rsqrt()
    return torch.fft.irfft(torch.fft.rfft(clips, size) * gain[:, None], size)[..., :length]


def clipped(clips: Tensor, limit_db: Tensor) -> Tensor:
    """Each clip cut off at `limit_db` `[B]` relative to its peak."""
    limit = clips.abs().amax(dim=(1, 2), keepdim=True) * factor(limit_db)
    return clips.clamp(-limit, limit)
