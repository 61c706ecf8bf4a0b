"""A batch of clips is changed as is asked for each of them."""

import math

import numpy as np
import pytest
import torch
from torch import Tensor

from model_core.training.data.batched import (
    band_limited,
    clipped,
    levelled,
    mixed,
    noisy,
    reverberated,
    room_responses,
)

RATE, LENGTH = 8000, 3000


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips(size: int = 3, channels: int = 2, seed: int = 1) -> Tensor:
    levels = torch.linspace(0.05, 0.3, size)[:, None, None]
    return levels * torch.randn(size, channels, LENGTH, generator=generator(seed))


def rms(x: Tensor) -> float:
    return float(x.square().mean().sqrt())


def test_a_further_source_has_its_level_against_the_first() -> None:
    first, second = clips(seed=1), clips(seed=2)
    second[2] = 0
    levels = torch.tensor([-6.0, -15.0, 0.0])
    found = mixed(first, second, levels, first)
    for i, level in enumerate(levels.tolist()[:2]):
        added = found[i] - first[i]
        assert rms(added) == pytest.approx(rms(first[i]) * 10 ** (level / 20), rel=1e-4)
        torch.testing.assert_close(added / rms(added), second[i] / rms(second[i]))
    assert torch.equal(found[2], first[2])


def test_a_clip_in_a_room_keeps_its_length_and_power() -> None:
    """Beside a convolution in numpy with a response that is put together by hand."""
    dry = clips()
    dry[1] = 0
    noise = torch.randn(3, 2, round(1.3 * RATE), generator=generator(99))
    rt60s, directs = torch.tensor([0.3, 0.7, 1.3]), torch.tensor([0.0, 7.0, 15.0])
    delays = torch.tensor([16, 90, 160])
    wet = reverberated(dry, room_responses(noise, rt60s, directs, delays, LENGTH, RATE))
    assert wet.shape == dry.shape
    for i in (0, 2):
        length, delay = round(float(rt60s[i]) * RATE), int(delays[i])
        decay = 10 ** (-3 * np.arange(length) / length)
        for channel in range(2):
            tail = noise[i, channel, :length].numpy() * decay
            tail *= 10 ** (-float(directs[i]) / 20) / np.sqrt((tail**2).sum())
            response = np.concatenate([[1.0], np.zeros(delay - 1), tail])
            expected = np.convolve(dry[i, channel].numpy(), response)[:LENGTH]
            found = wet[i, channel].numpy()
            scale = np.dot(found, expected) / np.dot(expected, expected)
            np.testing.assert_allclose(found, scale * expected, atol=1e-5)
        assert rms(wet[i]) == pytest.approx(rms(dry[i]), rel=1e-4)
    assert torch.equal(wet[1], dry[1])


@pytest.mark.parametrize("rt60", [0.3, 1.3])
def test_a_room_dies_away_in_its_time(rt60: float) -> None:
    rate = 24_000
    length = round(rt60 * rate)
    noise = torch.randn(1, 2, length, generator=generator())
    seconds, direct, delay = (torch.tensor([value]) for value in (rt60, 6.0, 100))
    (response,) = room_responses(noise, seconds, direct, delay, length + 100, rate)
    assert response[:, 0].tolist() == [1.0, 1.0]
    tail = response[:, 1:]
    assert float(tail.square().sum(1)[0]) == pytest.approx(10**-0.6, rel=1e-3)
    assert not torch.equal(tail[0], tail[1])
    # Schroeder's backward integration: from -5 to -25 dB in a third of the RT60
    energy = tail[0].square().flip(0).cumsum(0).flip(0)
    level = 10 * torch.log10(energy / energy[0])
    t5, t25 = (int((level < db).nonzero()[0]) / rate for db in (-5, -25))
    assert 3 * (t25 - t5) == pytest.approx(rt60, rel=0.15)


def test_a_room_may_be_shorter_than_the_clip() -> None:
    noise = torch.randn(1, 1, 200, generator=generator())
    rt60, direct, delay = (torch.tensor([value]) for value in (0.02, 3.0, 40))
    (response,) = room_responses(noise, rt60, direct, delay, LENGTH, RATE)
    assert response.shape == (1, LENGTH)
    assert torch.count_nonzero(response) == 1 + 160  # the direct sound, and 0.02 s
    assert float(response[:, 1:].square().sum()) == pytest.approx(10**-0.3, rel=1e-4)


def test_levels() -> None:
    loud = clips() * 3
    factors = torch.tensor([0.5, -2.0, 1.9])
    found = levelled(loud, factors)
    for i, factor in enumerate(factors.tolist()):
        peak = max(1.0, abs(factor) * float(loud[i].abs().max()))
        torch.testing.assert_close(found[i], loud[i] * (factor / peak))
    assert found.abs().max() <= 1 + 1e-6


def test_noise_has_its_level() -> None:
    dry = clips()
    noise = torch.randn(dry.shape, generator=generator(5))
    added = noisy(dry, noise, torch.full((3,), -20.0)) - dry
    for i in range(3):
        assert rms(added[i]) == pytest.approx(rms(dry[i]) / 10, rel=1e-3)


def test_a_limited_band_ends_where_it_should() -> None:
    time = torch.arange(8000) / 8000
    low, high = (torch.sin(2 * math.pi * hz * time)[None, None] for hz in (500, 2000))
    found = band_limited(low + high, torch.tensor([1000.0]), 8000)
    middle = slice(1000, 7000)
    torch.testing.assert_close(found[..., middle], low[..., middle], atol=0.01, rtol=0)


def test_clipping_is_relative_to_the_peak() -> None:
    dry = clips()
    limit = dry.abs().amax((1, 2), keepdim=True) * 10 ** (-6 / 20)
    found = clipped(dry, torch.full((3,), -6.0))
    torch.testing.assert_close(found, torch.minimum(torch.maximum(dry, -limit), limit))
