"""Clips cut on the device are what the cache holds, and follow from seed, rank and step alone."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from model_core.errors import SettingsError, TrainingDataError
from model_core.training.data.augment import AS_IT_IS, Augmentation
from model_core.training.data.cache import AudioCache
from model_core.training.data.device_sampler import DeviceSampler, fits
from tests.model_core.training.data.fixtures import MIXED, RATE, write_cache


@pytest.mark.parametrize(("stored", "wanted"), [(1, 1), (2, 2), (1, 2), (2, 1)])
def test_clips_are_those_of_the_cache(tmp_path: Path, stored: int, wanted: int) -> None:
    recordings = [*MIXED, ("speech", "train", 0.1)]
    cache = AudioCache(write_cache(tmp_path / "c", recordings, stored), channels=wanted)
    sampler = DeviceSampler(cache, 1000, {"speech": 1, "music": 1}, 1)
    batch = sampler.batch(3, 60)
    assert batch.shape == (60, wanted, 1000)
    draw = sampler._drawer.draw((1, 0, 3), 60)
    for clip, start in zip(batch, draw.starts[:, 0], strict=True):
        recording = next(r for r in cache.recordings if 0 <= start - r.start < r.length)
        assert recording.split == "train"
        assert torch.equal(clip, cache.read(recording, int(start) - recording.start, 1000))


def test_batches_depend_on_seed_rank_and_step_alone(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED, channels=2))

    def sampler(seed: int = 1, rank: int = 0) -> DeviceSampler:
        return DeviceSampler(cache, 2000, {}, seed, rank, Augmentation(reverberation=0.9))

    first = sampler()
    for step in range(5):
        first.batch(step, 4)
    batch = first.batch(7, 4)
    assert batch.shape == (4, 2, 2000)
    assert torch.equal(batch, sampler().batch(7, 4))
    for other in (sampler().batch(8, 4), sampler(rank=1).batch(7, 4), sampler(seed=2).batch(7, 4)):
        assert not any(torch.equal(a, b) for a in batch for b in other)


def test_clips_are_mixed_and_put_into_rooms(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))
    plain = {"gain_db": (0.0, 0.0), "inversion": 0.0}
    changes = {
        "none": {"two_sources": 0.0, "three_sources": 0.0, "reverberation": 0.0},
        "three": {"two_sources": 0.0, "three_sources": 1.0, "reverberation": 0.0},
        "rooms": {"two_sources": 0.0, "three_sources": 0.0, "reverberation": 1.0},
    }
    batches = {
        name: DeviceSampler(
            cache,
            2000,
            {"speech": 1},
            1,
            augmentation=Augmentation(**plain, **change),  # type: ignore[arg-type]
        ).batch(0, 30)
        for name, change in changes.items()
    }
    power = {name: batch.square().mean((1, 2)) for name, batch in batches.items()}
    torch.testing.assert_close(power["rooms"], power["none"])
    assert not torch.equal(batches["rooms"], batches["none"])
    louder = power["three"] / power["none"]
    assert 1 + 2 * 10**-1.5 - 0.2 < louder.min() < louder.max() < 3.2  # each 0 to 15 dB below


def test_clips_are_worn_as_on_a_cpu(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))

    def batch(**changes: Any) -> torch.Tensor:
        settings = dataclasses.replace(AS_IT_IS, **changes)
        return DeviceSampler(cache, 2000, {"speech": 1}, 1, augmentation=settings).batch(0, 30)

    plain = batch()
    power = plain.square().mean((1, 2))
    added = (batch(noise=1.0, noise_db=(-20.0, -20.0)) - plain).square().mean((1, 2))
    torch.testing.assert_close(added, power / 100)
    changes: list[dict[str, Any]] = [
        {"quiet": 1.0, "quiet_db": (-30.0, -30.0)},
        {"band_limit": 1.0, "band_hz": (1000.0, 1000.0)},
        {"clipping": 1.0, "clipping_db": (-6.0, -6.0)},
        {"offset": 1.0, "offset_between": (0.01, 0.01)},
    ]
    for change in changes:
        settings = dataclasses.replace(AS_IT_IS, **change)
        source = torch.Generator().manual_seed(1)
        for clip, found in zip(plain, batch(**change), strict=True):
            wanted = settings.wear(settings.level(clip, source), RATE, source)
            torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-3)
    some = batch(clipping=0.5, clipping_db=(-6.0, -6.0))
    changed = (some != plain).any(dim=(1, 2)).sum()
    assert 5 < changed < 25


def test_silence_is_drawn_seldom(tmp_path: Path) -> None:
    recordings = [("speech", "train", 1.0), ("speech", "train", 1.0)]
    cache = AudioCache(write_cache(tmp_path / "c", recordings, silent=(0,)))
    batch = DeviceSampler(cache, 2 * RATE, {"speech": 1}, 3).batch(0, 200)
    assert float((batch.abs().amax((1, 2)) == 0).float().mean()) < 0.15  # 1/16 on average


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))
    with pytest.raises(TrainingDataError, match=r"\['music', 'speech'\]"):
        DeviceSampler(cache, 100, {"environment": 1.0}, 1)
    with pytest.raises(SettingsError):
        DeviceSampler(cache, 100, {"speech": -1.0}, 1)


def test_on_a_cpu_clips_are_prefetched(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))
    assert not fits(cache, torch.device("cpu"))
