"""What is read from a cache, and what is refused as one."""

from pathlib import Path

import numpy as np
import pytest
import torch

from model_core.errors import TrainingDataError
from model_core.training.data.cache import AudioCache
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
