"""Folders of recordings become caches, whole ones or none."""

import argparse
import io
import json
from pathlib import Path

import numpy as np
import pytest

from model_core.audio import open_audio
from model_core.config import ENCODEC_24KHZ, ENCODEC_48KHZ, ModelConfig
from model_core.errors import TrainingDataError
from model_core.training.data.build import add_arguments, build_cache, run
from model_core.training.data.cache import AudioCache
from model_core.training.data.sample_file import SampleFile
from tests.media import encode, tone

FORMATS = [
    ("wav", "wav", "pcm_s16le", 16_000, 1),
    ("flac", "flac", "flac", 44_100, 2),
    ("mp3", "mp3", "libmp3lame", 44_100, 2),
    ("ogg", "ogg", "flac", 44_100, 2),
    ("opus", "ogg", "libopus", 48_000, 1),
    ("m4a", "mp4", "aac", 44_100, 2),
]


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """Recordings of all kinds, and much that is none."""
    folder = tmp_path / "recordings"
    (folder / "deep" / "er").mkdir(parents=True)
    for name, container, codec, rate, channels in FORMATS:
        data = encode(tone(0.7, rate, channels), rate, container, codec)
        (folder / "deep" / f"{name} of ours.{name}").write_bytes(data)
    short = encode(tone(0.1, 24_000), 24_000, "wav", "pcm_s16le")
    (folder / "short.wav").write_bytes(short)
    silent = encode(tone(1.0, 24_000) * 0, 24_000, "flac", "flac")
    (folder / "deep" / "er" / "silent.flac").write_bytes(silent)
    (folder / "notes.txt").write_text("no audio")
    (folder / "empty.wav").touch()
    (folder / ".hidden.wav").write_bytes(short)
    return folder


@pytest.mark.filterwarnings("ignore:.*is left out")
@pytest.mark.parametrize("config", [ENCODEC_24KHZ, ENCODEC_48KHZ], ids=["mono", "stereo"])
def test_every_format_is_decoded_once(folder: Path, tmp_path: Path, config: ModelConfig) -> None:
    report = build_cache(folder, tmp_path / "cache", config)
    assert sorted(report.skipped) == ["deep/er/silent.flac", "empty.wav", "notes.txt", "short.wav"]
    assert "silence" in report.skipped["deep/er/silent.flac"]
    assert "shorter" in report.skipped["short.wav"]
    cache = AudioCache(tmp_path / "cache")
    assert cache.recordings == report.recordings
    assert (cache.sample_rate, cache.channels) == (config.sample_rate, config.channels)
    assert isinstance(cache.audio, np.memmap)
    names = sorted(f"deep/{kind[0]} of ours.{kind[0]}" for kind in FORMATS)
    assert [r.file for r in cache.recordings] == names
    for recording in cache.recordings:
        with open_audio(folder / recording.file, config.sample_rate, config.channels) as source:
            samples = np.concatenate(list(source), axis=1)
        clip = cache.read(recording, 0, recording.length).numpy()
        assert clip.shape == samples.shape
        assert np.abs(clip - samples).max() <= 0.51 / 32768
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "recordings"]


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_processes_change_nothing(folder: Path, tmp_path: Path) -> None:
    one, two = tmp_path / "one", tmp_path / "two"
    build_cache(folder, one, ENCODEC_24KHZ)
    build_cache(folder, two, ENCODEC_24KHZ, jobs=2)
    for name in ("audio.npy", "index.json"):
        assert (one / name).read_bytes() == (two / name).read_bytes()


def test_each_file_left_out_is_warned_of(folder: Path, tmp_path: Path) -> None:
    with pytest.warns(UserWarning, match="is left out") as seen:
        build_cache(folder, tmp_path / "cache", ENCODEC_24KHZ)
    assert len(seen) == 4


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_nothing_usable_is_an_error_and_leaves_the_old_cache(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    build_cache(folder, cache, ENCODEC_24KHZ)
    before = (cache / "index.json").read_bytes()
    empty = tmp_path / "empty"
    (empty / "x").mkdir(parents=True)
    with pytest.raises(TrainingDataError, match="no audio"):
        build_cache(empty, cache, ENCODEC_24KHZ)
    (empty / "x" / "words.txt").write_text("words")
    with pytest.raises(TrainingDataError, match="1 files, none"):
        build_cache(empty, cache, ENCODEC_24KHZ)
    assert (cache / "index.json").read_bytes() == before
    assert sorted(p.name for p in tmp_path.iterdir()) == ["cache", "empty", "recordings"]


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_an_older_cache_is_replaced_and_nothing_else(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    build_cache(folder, cache, ENCODEC_24KHZ, pack=True)
    assert not (cache / "audio.npy").exists()
    packed = AudioCache(cache)
    build_cache(folder, cache, ENCODEC_24KHZ)
    assert not (cache / "audio.pack").exists()
    assert np.array_equal(packed.audio, AudioCache(cache).audio)
    with pytest.raises(TrainingDataError, match="no cache"):
        build_cache(folder, folder, ENCODEC_24KHZ)
    assert (folder / "notes.txt").read_text() == "no audio"


@pytest.mark.filterwarnings("ignore:.*is left out")
def test_a_folder_that_has_more_than_a_cache_is_left_alone(folder: Path, tmp_path: Path) -> None:
    cache = tmp_path / "cache"
    build_cache(folder, cache, ENCODEC_24KHZ)
    (cache / "run").mkdir()
    weights = tmp_path / "weights"
    weights.mkdir()
    (weights / "index.json").write_text('{"encodec_24khz": {"model": "x", "lm": null}}')
    part = tmp_path / "part"
    part.mkdir()
    (part / "audio.npy").write_bytes(b"precious")
    for other in (cache, weights, part):
        before = sorted(other.iterdir())
        with pytest.raises(TrainingDataError, match=r"no cache|no index"):
            build_cache(folder, other, ENCODEC_24KHZ)
        assert sorted(other.iterdir()) == before


def test_the_manifest_rules(tmp_path: Path) -> None:
    folder = tmp_path / "f"
    folder.mkdir()
    data = encode(tone(0.3, 24_000), 24_000, "wav", "pcm_s16le")
    rows = ["file,category,speaker"]
    for index in range(20):
        (folder / f"{index}.wav").write_bytes(data)
        rows.append(f"{index}.wav,speech,speaker {index % 10}")
    (folder / "manifest.csv").write_text("\n".join([*rows, "gone.wav,speech,x"]))
    with pytest.warns(UserWarning, match=r"gone\.wav is left out: cannot open"):
        report = build_cache(folder, tmp_path / "cache", ENCODEC_24KHZ)
    held = [r for r in report.recordings if r.split == "valid"]
    assert len(held) == 2
    assert held[0].group == held[1].group


def test_the_command_says_what_it_did(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    words = [str(folder), str(tmp_path / "cache"), "--jobs", "1", "--category", "music"]
    run(parser.parse_args([*words, "--hold-out", "mp3", "--pack"]))
    out, err = capsys.readouterr()
    assert "left out: notes.txt: " in err
    assert "music train: 5 recordings" in out
    assert "music valid: 1 recordings" in out
    assert "skipped: 4 files" in out
    index = json.loads((tmp_path / "cache" / "index.json").read_text())
    assert index["sample_rate"] == 24_000
    smaller = [str(tmp_path / "cache"), str(tmp_path / "small"), "--pack-noise", "40"]
    run(parser.parse_args(smaller))
    sizes = [(tmp_path / c / "audio.pack").stat().st_size for c in ("cache", "small")]
    assert sizes[1] < sizes[0]
    assert AudioCache(tmp_path / "small").recordings == AudioCache(tmp_path / "cache").recordings


def test_a_cache_that_was_not_finished_is_none(tmp_path: Path) -> None:
    def fail() -> None:
        with SampleFile(tmp_path / "audio.npy", 1) as file:
            (tmp_path / "part").write_bytes(bytes(1000))
            file.append(tmp_path / "part")
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fail()
    with pytest.raises(ValueError, match="allow_pickle"):
        np.load(io.BytesIO((tmp_path / "audio.npy").read_bytes()))
