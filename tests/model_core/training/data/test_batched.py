"""A batch is augmented as its clips would be one by one."""

import pytest
import torch
from torch import Tensor

from model_core.training.data.augment import Augmentation, uniform
from model_core.training.data.batched import (
    levelled,
    mixed,
    reverberated,
    room_responses,
)

RATE, LENGTH = 8000, 3000


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def clips(size: int = 3, channels: int = 2, seed: int = 1) -> Tensor:
    levels = torch.linspace(0.05, 0.3, size)[:, None, None]
    return levels * torch.randn(size, channels, LENGTH, generator=generator(seed))


def test_mixes() -> None:
    first, second = clips(seed=1), clips(seed=2)
    second[2] = 0
    levels = torch.tensor([-6.0, -15.0, 0.0])
    found = mixed(first, second, levels, first)
    for i, level in enumerate(levels.tolist()):
        one = Augmentation(mix_db=(level, level)).mix([first[i], second[i]], generator())
        torch.testing.assert_close(found[i], one)
    assert torch.equal(found[2], first[2])


def test_rooms() -> None:
    settings, dry = Augmentation(reverberation=1.0), clips()
    dry[1] = 0
    noise = torch.randn(3, 2, round(1.3 * RATE), generator=generator(99))
    drawn = []
    for i in range(3):
        source = generator(i)
        uniform(0, 1, source)
        rt60, direct = uniform(*settings.rt60, source), uniform(*settings.direct_db, source)
        length = round(rt60 * RATE)
        noise[i, :, :length] = torch.randn(2, length, generator=source)
        drawn.append((rt60, direct, round(uniform(0.002, 0.02, source) * RATE)))
    rt60s, directs, delays = (torch.tensor(values) for values in zip(*drawn, strict=True))
    responses = room_responses(noise, rt60s, directs, delays, LENGTH, RATE)
    wet = reverberated(dry, responses)
    assert wet.shape == dry.shape
    for i in range(3):
        expected = settings.reverberate(dry[i], RATE, generator(i))
        torch.testing.assert_close(wet[i], expected, rtol=1e-4, atol=1e-5)
    assert torch.equal(wet[1], dry[1])


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
