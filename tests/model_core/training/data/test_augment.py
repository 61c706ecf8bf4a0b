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
        {"clipping": 2.0},
        {"band_hz": (0.0, 4000.0)},
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


def worn(clip: torch.Tensor, **settings: Any) -> torch.Tensor:
    return Augmentation(**settings).wear(clip, 8000, generator())


def test_what_is_not_asked_for_draws_nothing() -> None:
    clip, source = noise(), generator()
    before = source.get_state()
    assert torch.equal(Augmentation().wear(clip, 8000, source), clip)
    assert torch.equal(source.get_state(), before)


def test_quiet_clips_are_quiet() -> None:
    settings, source = Augmentation(quiet=0.5, quiet_db=(-40.0, -30.0)), generator()
    gains = [rms(settings.level(noise(), source)) / rms(noise()) for _ in range(200)]
    quiet = [20 * math.log10(gain) for gain in gains if gain < 0.2]
    assert len(quiet) == pytest.approx(100, abs=25)
    assert min(quiet) >= -40
    assert max(quiet) <= -30


def test_noise_has_its_level() -> None:
    clip = noise(2)
    added = worn(clip, noise=1.0, noise_db=(-20.0, -20.0)) - clip
    assert rms(added) == pytest.approx(rms(clip) / 10, rel=1e-3)


def test_a_limited_band_ends_where_it_should() -> None:
    time = torch.arange(8000) / 8000
    low, high = (torch.sin(2 * math.pi * hz * time)[None] for hz in (500, 2000))
    found = worn(low + high, band_limit=1.0, band_hz=(1000.0, 1000.0))
    middle = slice(1000, 7000)
    torch.testing.assert_close(found[:, middle], low[:, middle], atol=0.01, rtol=0)


def test_clipping_and_offset() -> None:
    clip = noise()
    clipped = worn(clip, clipping=1.0, clipping_db=(-6.0, -6.0))
    limit = float(clip.abs().max()) * 10 ** (-6 / 20)
    torch.testing.assert_close(clipped, clip.clamp(-limit, limit))
    moved = worn(clip, offset=1.0, offset_between=(0.01, 0.01))
    torch.testing.assert_close(moved, clip + 0.01)
