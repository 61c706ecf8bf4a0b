"""What happens to clips stays within what the recipe says."""

import math
from typing import Any

import pytest
import torch

from model_core.errors import SettingsError
from model_core.training.data.augment import Augmentation, room_response


def generator(seed: int = 1) -> torch.Generator:
    return torch.Generator().manual_seed(seed)


def noise(channels: int = 1, length: int = 8000, seed: int = 1) -> torch.Tensor:
    return torch.rand(channels, length, generator=generator(seed)) * 0.2 - 0.1


def rms(x: torch.Tensor) -> float:
    return float(x.square().mean().sqrt())


@pytest.mark.parametrize(
    "wrong",
    [
        {"reverberation": 1.1},
        {"two_sources": 0.6, "three_sources": 0.6},
        {"gain_db": (3.0, -3.0)},
        {"rt60": (0.0, 1.0)},
        {"mix_db": (math.nan, 0.0)},
        {"inversion": -0.1},
    ],
)
def test_settings_that_cannot_be_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(SettingsError, match=next(iter(wrong))):
        Augmentation(**wrong)


def test_sources_are_mixed_as_often_as_in_the_paper() -> None:
    source = generator()
    counts = [Augmentation().draw_sources(source) for _ in range(4000)]
    shares = [counts.count(n) / 4000 for n in (1, 2, 3)]
    assert shares == pytest.approx([0.64, 0.24, 0.12], abs=0.03)


def test_a_further_source_has_its_level_against_the_first() -> None:
    first, second = noise(seed=1), 7 * noise(seed=2)
    mixed = Augmentation(mix_db=(-6.0, -6.0)).mix([first, second], generator())
    assert rms(mixed - first) == pytest.approx(rms(first) * 10 ** (-6 / 20), rel=1e-4)
    silent = Augmentation().mix([first, torch.zeros_like(first)], generator())
    assert torch.equal(silent, first)


def test_gains_and_polarity_are_drawn_within_bounds() -> None:
    clip = noise()
    source = generator()
    factors = [float((Augmentation().level(clip, source) / clip)[0, 0]) for _ in range(300)]
    gains = [20 * math.log10(abs(f)) for f in factors]
    assert -10.01 <= min(gains) < -9
    assert 5 < max(gains) <= 6.01
    assert 0.4 < sum(f < 0 for f in factors) / 300 < 0.6


def test_nothing_clips() -> None:
    loud = noise() * 9.9
    for seed in range(20):
        changed = Augmentation(gain_db=(6.0, 6.0)).level(loud, generator(seed))
        assert changed.abs().max() == pytest.approx(1)
        assert rms(changed / changed.abs().max() - changed) < 1e-6


@pytest.mark.parametrize("rt60", [0.3, 1.3])
def test_a_room_dies_away_in_its_time(rt60: float) -> None:
    rate = 24_000
    response = room_response(2, rt60, 6.0, rate, generator())
    assert response[:, 0].tolist() == [1.0, 1.0]
    tail = response[:, 1:]
    assert float(tail.square().sum(1)[0]) == pytest.approx(10**-0.6, rel=1e-3)
    assert not torch.equal(tail[0], tail[1])
    # Schroeder's backward integration: from -5 to -25 dB in a third of the RT60
    energy = tail[0].square().flip(0).cumsum(0).flip(0)
    level = 10 * torch.log10(energy / energy[0])
    t5, t25 = (int((level < db).nonzero()[0]) / rate for db in (-5, -25))
    assert 3 * (t25 - t5) == pytest.approx(rt60, rel=0.15)


def test_reverberation_comes_at_its_probability_and_keeps_length_and_power() -> None:
    clip = noise(2, 4000)
    source = generator()
    changed = [Augmentation().reverberate(clip, 8000, source) for _ in range(400)]
    wet = [x for x in changed if not torch.equal(x, clip)]
    assert len(wet) / 400 == pytest.approx(0.2, abs=0.06)
    assert all(x.shape == clip.shape for x in wet)
    assert all(rms(x) == pytest.approx(rms(clip), rel=1e-4) for x in wet)
    silence = torch.zeros(1, 4000)
    assert torch.equal(Augmentation(reverberation=1.0).reverberate(silence, 8000, source), silence)
