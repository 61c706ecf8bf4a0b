"""What is evaluated on, and what is left out."""

import json
import logging
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from model_core.config import ENCODEC_24KHZ
from model_core.errors import TrainingDataError
from model_core.evaluation.clips import clips_of_cache, clips_of_folder, usable
from model_core.evaluation.conditions import CONDITIONS

from .conftest import RATE, audio, write_wav


def test_silence_scraps_and_other_files_are_left_out_with_a_warning(
    recordings: Path, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.WARNING):
        clips = usable(clips_of_folder(recordings, 10), ENCODEC_24KHZ)
    assert [(clip.name, clip.category) for clip in clips] == [
        ("music/a.wav", "music"),
        ("speech/b.wav", "speech"),
    ]
    assert [clip.seconds for clip in clips] == pytest.approx([1.2, 1.2])
    for name in ("silent.wav", "short.wav", "notes.txt", "broken.flac"):
        assert sum(name in line for line in caplog.messages) == 1


def test_a_manifest_says_which_files_and_of_what_kind(tmp_path: Path) -> None:
    for name in ("x.wav", "y.wav", "unlisted.wav"):
        write_wav(tmp_path / name, audio(1.5))
    (tmp_path / "manifest.csv").write_text("category,file\nbirds,y.wav\nspeech,x.wav\n")
    clips = usable(clips_of_folder(tmp_path, seconds=1.25), ENCODEC_24KHZ)
    assert [(clip.name, clip.category) for clip in clips] == [
        ("y.wav", "birds"),
        ("x.wav", "speech"),
    ]
    assert clips[0].read(ENCODEC_24KHZ).shape == (1, round(1.25 * RATE))


def test_a_kind_is_filled_up_to_a_limit_and_always_alike(tmp_path: Path) -> None:
    for i in range(8):
        write_wav(tmp_path / f"{i}.wav", audio(1.0, i))
    clips = clips_of_folder(tmp_path, 10)
    chosen = usable(clips, ENCODEC_24KHZ, seconds_per_kind=2.5)
    assert len(chosen) == 3
    assert chosen == usable(clips[::-1], ENCODEC_24KHZ, seconds_per_kind=2.5)
    assert {clip.name for clip in chosen} != {"0.wav", "1.wav", "2.wav"}  # from all over


def test_of_a_cache_the_held_out_recordings(tmp_path: Path) -> None:
    samples = (np.concatenate([audio(2.0, 1), audio(2.0, 2)], axis=1) * 32767).astype(np.int16)
    np.save(tmp_path / "audio.npy", samples)
    places = {"train": 0, "valid": 2 * RATE}
    (tmp_path / "index.json").write_text(
        json.dumps(
            [
                {"file": s, "category": "music", "split": s, "start": at, "length": 2 * RATE}
                for s, at in places.items()
            ]
        )
    )
    clips = usable(clips_of_cache(tmp_path, 1.5), ENCODEC_24KHZ)
    assert [(clip.name, clip.category, clip.seconds) for clip in clips] == [("valid", "music", 1.5)]
    read = clips[0].read(ENCODEC_24KHZ)
    np.testing.assert_array_equal(read, samples[:, 2 * RATE :][:, : 3 * RATE // 2] / 32768)


def test_what_is_neither_says_so(tmp_path: Path) -> None:
    with pytest.raises(TrainingDataError):
        clips_of_cache(tmp_path, 10)
    with pytest.raises(TrainingDataError):
        clips_of_folder(tmp_path / "nowhere", 10)


def test_conditions(recordings: Path) -> None:
    config = ENCODEC_24KHZ
    (clip, *_) = usable(clips_of_folder(recordings, 2.0), config)
    plain = clip.read(config)
    found = {name: replace(clip, condition=name).read(config) for name in CONDITIONS}
    assert all(x.shape == plain.shape and x.dtype == np.float32 for x in found.values())
    assert rms(found["quiet"]) == pytest.approx(10 ** (-45 / 20), rel=1e-4)
    assert rms(found["noisy"] - plain) == pytest.approx(rms(plain) / 10, rel=1e-2)
    limit = np.abs(plain).max() * 10 ** (-6 / 20)
    np.testing.assert_allclose(found["clipped"], plain.clip(-limit, limit), atol=1e-6)
    np.testing.assert_allclose(found["offset"], plain + 0.01, atol=1e-6)
    spectrum = np.abs(np.fft.rfft(found["dull"][0]))
    assert spectrum[round(len(spectrum) * 5 / 12) :].max() < 1e-2 * spectrum.max()  # 5 kHz
    again = replace(clip, condition="noisy").read(config)
    assert np.array_equal(again, found["noisy"])


def rms(x: np.ndarray) -> float:
    return float(np.sqrt(np.mean(np.square(x, dtype=np.float64))))
