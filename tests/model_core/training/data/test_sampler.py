"""Clips are what the cache holds, changed as asked; they follow from seed, rank and step."""

import dataclasses
from pathlib import Path
from typing import Any

import pytest
import torch

from model_core.errors import SettingsError, TrainingDataError
from model_core.training.data.augment import AS_IT_IS, Augmentation
from model_core.training.data.batched import band_limited
from model_core.training.data.cache import AudioCache
from model_core.training.data.prefetch import Prefetch
from model_core.training.data.sampler import ClipSampler, fits, validation_clips
from tests.model_core.training.data.fixtures import MIXED, RATE, write_cache


@pytest.mark.parametrize(("stored", "wanted"), [(1, 1), (2, 2), (1, 2), (2, 1)])
def test_clips_are_those_of_the_cache(tmp_path: Path, stored: int, wanted: int) -> None:
    recordings = [*MIXED, ("speech", "train", 0.1)]
    cache = AudioCache(write_cache(tmp_path / "c", recordings, stored), channels=wanted)
    sampler = ClipSampler(cache, 1000, {"speech": 1, "music": 1}, 1)
    batch = sampler.batch(3, 60)
    assert batch.shape == (60, wanted, 1000)
    draw = sampler._drawer.draw((1, 0, 3), 60)
    for clip, start in zip(batch, draw.starts[:, 0], strict=True):
        recording = next(r for r in cache.recordings if 0 <= start - r.start < r.length)
        assert recording.split == "train"
        assert torch.equal(clip, cache.read(recording, int(start) - recording.start, 1000))


def test_batches_depend_on_seed_rank_and_step_alone(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED, channels=2))

    def sampler(seed: int = 1, rank: int = 0) -> ClipSampler:
        return ClipSampler(cache, 2000, {}, seed, rank, Augmentation(reverberation=0.9))

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
        name: ClipSampler(
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


def test_clips_are_worn(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))

    def batch(**changes: Any) -> torch.Tensor:
        settings = dataclasses.replace(AS_IT_IS, **changes)
        return ClipSampler(cache, 2000, {"speech": 1}, 1, augmentation=settings).batch(0, 30)

    plain = batch()
    power = plain.square().mean((1, 2))
    added = (batch(noise=1.0, noise_db=(-20.0, -20.0)) - plain).square().mean((1, 2))
    torch.testing.assert_close(added, power / 100)
    limit = plain.abs().amax((1, 2), keepdim=True) * 10 ** (-6 / 20)
    for found, wanted in (
        (batch(quiet=1.0, quiet_db=(-30.0, -30.0)), plain * 10**-1.5),
        (
            batch(band_limit=1.0, band_hz=(1000.0, 1000.0)),
            band_limited(plain, torch.full((30,), 1000.0), RATE),
        ),
        (batch(clipping=1.0, clipping_db=(-6.0, -6.0)), plain.clamp(-limit, limit)),
        (batch(offset=1.0, offset_between=(0.01, 0.01)), plain + 0.01),
    ):
        torch.testing.assert_close(found, wanted, atol=1e-5, rtol=1e-3)
    some = batch(clipping=0.5, clipping_db=(-6.0, -6.0))
    changed = (some != plain).any(dim=(1, 2)).sum()
    assert 5 < changed < 25


def test_categories_come_by_weight_and_recordings_by_length(tmp_path: Path) -> None:
    recordings = [
        ("speech", "train", 9.0),
        ("speech", "train", 1.0),
        ("music", "train", 1.0),
        ("speech", "valid", 50.0),
    ]
    cache = AudioCache(write_cache(tmp_path / "c", recordings))
    batch = ClipSampler(cache, 400, {"speech": 0.5, "music": 0.5, "other": 3}, 1).batch(0, 600)
    drawn = (batch.abs().amax((1, 2)) * 100).round().int()
    shares = [float((drawn == n).float().mean()) for n in (1, 2, 3, 4)]
    assert shares == pytest.approx([0.45, 0.05, 0.5, 0.0], abs=0.06)
    by_length = ClipSampler(cache, 400, {}, 1)
    assert by_length.weights == {"music": RATE, "speech": 10 * RATE}


def test_silence_is_drawn_seldom_and_short_recordings_are_padded(tmp_path: Path) -> None:
    recordings = [("speech", "train", 1.0), ("speech", "train", 1.0)]
    cache = AudioCache(write_cache(tmp_path / "c", recordings, silent=(0,)))
    batch = ClipSampler(cache, 2 * RATE, {"speech": 1}, 3).batch(0, 200)
    assert float((batch.abs().amax((1, 2)) == 0).float().mean()) < 0.15  # 1/16 on average
    assert batch.shape == (200, 1, 2 * RATE)


def test_nothing_to_draw_is_an_error(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))
    with pytest.raises(TrainingDataError, match=r"\['music', 'speech'\]"):
        ClipSampler(cache, 100, {"environment": 1.0}, 1)
    with pytest.raises(SettingsError):
        ClipSampler(cache, 100, {"speech": -1.0}, 1)


def test_music_alone_stays_dry(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))
    plain = {"gain_db": (0.0, 0.0), "inversion": 0.0, "reverberation": 1.0}
    dry = Augmentation(two_sources=0.0, three_sources=0.0, **plain)  # type: ignore[arg-type]
    batch = ClipSampler(cache, 500, {"music": 1}, 1, augmentation=dry).batch(0, 4)
    levels = batch * 32768
    assert torch.equal(levels, levels.round())  # samples as they were stored


def test_prefetching_changes_nothing_but_who_waits(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))
    sampler = ClipSampler(cache, 500, {}, 1, augmentation=Augmentation())
    with Prefetch(sampler, 3, first_step=5) as batches:
        drawn = [pair for pair, _ in zip(batches, range(4), strict=False)]
    assert [step for step, _ in drawn] == [5, 6, 7, 8]
    assert all(torch.equal(batch, sampler.batch(step, 3)) for step, batch in drawn)


def test_an_error_while_prefetching_reaches_the_caller(tmp_path: Path) -> None:
    folder = write_cache(tmp_path / "c", MIXED)
    sampler = ClipSampler(AudioCache(folder), 500, {}, 1)
    with Prefetch(sampler, -3, 0) as batches, pytest.raises(ValueError, match="negative"):
        next(iter(batches))


def test_on_a_cpu_samples_stay_in_their_file(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))
    assert not fits(cache, torch.device("cpu"))


def test_validation_clips_are_the_middles_of_what_is_held_out(tmp_path: Path) -> None:
    held = [("speech", "valid", 1.0 + 0.1 * i) for i in range(6)]
    recordings = [("speech", "train", 2.0), *held, ("music", "valid", 0.3), ("music", "valid", 1)]
    cache = AudioCache(write_cache(tmp_path / "c", recordings, silent=(8,)))
    clips = list(validation_clips(cache, 0.5))
    assert [r.file for r, _ in clips] == ["7.wav", *(f"{i}.wav" for i in range(1, 7))]
    recording, clip = clips[1]
    assert torch.equal(clip, cache.read(recording, RATE // 4, RATE // 2))
    assert clips[0][1].shape == (1, round(0.3 * RATE))
    files = [r.file for r, _ in validation_clips(cache, 0.5, limit=2)]
    assert files == ["7.wav", "1.wav", "4.wav"]
    old = AudioCache(write_cache(tmp_path / "o", recordings, old=True))
    with pytest.raises(TrainingDataError, match="rate"):
        next(validation_clips(old, 0.5))
