"""Clips of a cache: what is read, and that what is drawn depends on the step alone."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.errors import SettingsError, TrainingDataError
from model_core.training.data.augment import Augmentation
from model_core.training.data.cache import AudioCache
from model_core.training.data.prefetch import Prefetch
from model_core.training.data.sampler import ClipSampler, validation_clips
from tests.model_core.training.data.fixtures import MIXED, RATE, write_cache


@pytest.mark.parametrize("old", [True, False])
def test_reads_samples_and_pads_past_the_end(tmp_path: Path, old: bool) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED, old=old), sample_rate=RATE)
    stored = np.load(tmp_path / "c" / "audio.npy")
    clip = cache.read(cache.recordings[1], 100, 50)
    expected = torch.from_numpy(stored[:, 2 * RATE + 100 : 2 * RATE + 150] / np.float32(32768))
    assert torch.equal(clip, expected)
    end = cache.read(cache.recordings[1], 3 * RATE - 10, 30)
    assert end.shape == (1, 30)
    assert end[:, :10].abs().max() > 0
    assert not end[:, 10:].any()


def test_channels_are_made(tmp_path: Path) -> None:
    mono = AudioCache(write_cache(tmp_path / "1", MIXED), channels=2)
    clip = mono.read(mono.recordings[0], 0, 100)
    assert clip.shape == (2, 100)
    assert torch.equal(clip[0], clip[1])
    folder = write_cache(tmp_path / "2", MIXED, channels=2)
    both = AudioCache(folder).read(AudioCache(folder).recordings[0], 0, 100)
    assert not torch.equal(both[0], both[1])
    one = AudioCache(folder, channels=1)
    assert torch.equal(one.read(one.recordings[0], 0, 100), both.mean(0, keepdim=True))


def test_what_is_no_cache_is_refused(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError, match="no cache"):
        AudioCache(tmp_path)
    folder = write_cache(tmp_path / "c", MIXED)
    with pytest.raises(TrainingDataError, match="8000 Hz"):
        AudioCache(folder, sample_rate=24_000)
    np.save(folder / "audio.npy", np.zeros((1, 100), np.int16))
    with pytest.raises(TrainingDataError, match="shorter"):
        AudioCache(folder)
    (folder / "audio.npy").write_bytes(bytes(500))
    with pytest.raises(TrainingDataError, match="no cache"):
        AudioCache(folder)


def test_batches_depend_on_seed_rank_and_step_alone(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED, channels=2))

    def sampler(seed: int = 1, rank: int = 0) -> ClipSampler:
        return ClipSampler(cache, 2000, {"speech": 1, "music": 1}, seed, rank, Augmentation())

    first = sampler()
    for step in range(5):
        first.batch(step, 4)
    batch = first.batch(7, 4)
    assert batch.shape == (4, 2, 2000)
    assert torch.equal(batch, sampler().batch(7, 4))
    assert torch.equal(batch[:2], sampler().batch(7, 2))
    for other in (sampler().batch(8, 4), sampler(rank=1).batch(7, 4), sampler(seed=2).batch(7, 4)):
        assert not any(torch.equal(a, b) for a in batch for b in other)


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


@pytest.mark.parametrize(
    "text",
    [
        *("", "3", "{}", '{"recordings": []}', '{"sample_rate": null, "recordings": []}'),
        '{"sample_rate": 8000, "recordings": [{"file": "a"}]}',
        '[{"file": "a", "category": "b", "split": "train", "start": "x", "length": 5}]',
        '[{"file": "a", "category": "b", "split": "train", "start": -4, "length": 5}]',
        '[{"file": "a", "category": "b", "split": "train", "start": 0, "length": 1000000}]',
    ],
)
def test_an_index_that_is_none_is_refused(tmp_path: Path, text: str) -> None:
    folder = write_cache(tmp_path / "c", MIXED)
    (folder / "index.json").write_text(text)
    with pytest.raises(TrainingDataError, match="c"):
        AudioCache(folder)


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


def test_music_alone_stays_dry_and_is_in_no_mix_of_three(tmp_path: Path) -> None:
    cache = AudioCache(write_cache(tmp_path / "c", MIXED))
    plain = {"gain_db": (0.0, 0.0), "inversion": 0.0, "reverberation": 1.0}
    dry = Augmentation(two_sources=0.0, three_sources=0.0, **plain)  # type: ignore[arg-type]
    batch = ClipSampler(cache, 500, {"music": 1}, 1, augmentation=dry).batch(0, 4)
    levels = batch * 32768
    assert torch.equal(levels, levels.round())  # samples as they were stored
    three = Augmentation(two_sources=0.0, three_sources=1.0, **plain)  # type: ignore[arg-type]
    sampler = ClipSampler(cache, 500, {"music": 1e9, "speech": 1}, 1, augmentation=three)
    assert float(sampler.batch(0, 8).abs().max()) > 0
    categories = [sampler._category(sampler._generator(0, i), spoken=True) for i in range(9)]
    assert categories == ["speech"] * 9


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
    sampler.weights = {"gone": 1.0}
    with Prefetch(sampler, 3, 0) as batches, pytest.raises(KeyError):
        next(iter(batches))


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
