"""A run's cache is what its folder of recordings is, or the run does not go on with it."""

import json
import os
import shutil
from pathlib import Path

import pytest

from model_core.config import ENCODEC_24KHZ, ENCODEC_48KHZ
from model_core.errors import SettingsError, TrainingDataError
from model_core.training.codec.command import cache_of
from model_core.training.data.cache import AudioCache
from model_core.training.state import STATE
from tests.media import encode, tone


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    folder = tmp_path / "mine"
    folder.mkdir()
    for name in ("a", "b"):
        record(folder / f"{name}.wav")
    return folder


def record(path: Path, seconds: float = 0.3) -> None:
    path.write_bytes(encode(tone(seconds, 24_000), 24_000, "wav", "pcm_s16le"))


def files(cache: Path) -> list[str]:
    return [recording.file for recording in AudioCache(cache).recordings]


def made_at(cache: Path) -> int:
    return (cache / "index.json").stat().st_mtime_ns


def begin(run: Path) -> None:
    (run / STATE).touch()


def test_what_has_not_changed_is_decoded_once(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    cache = cache_of(folder, run, ENCODEC_24KHZ)
    first = made_at(cache)
    shutil.copytree(folder, tmp_path / "moved")
    for begun in (False, True):
        if begun:
            begin(run)
        for place in (folder, tmp_path / "moved"):
            assert cache_of(place, run, ENCODEC_24KHZ) == cache
            assert made_at(cache) == first


def test_before_the_run_begins_a_change_makes_the_cache_anew(folder: Path, tmp_path: Path) -> None:
    run = tmp_path / "run"
    cache_of(folder, run, ENCODEC_24KHZ)
    record(folder / "c.wav")
    assert files(cache_of(folder, run, ENCODEC_24KHZ)) == ["a.wav", "b.wav", "c.wav"]
    assert AudioCache(cache_of(folder, run, ENCODEC_48KHZ)).sample_rate == 48_000
    (tmp_path / "other").mkdir()
    record(tmp_path / "other" / "d.wav")
    assert files(cache_of(tmp_path / "other", run, ENCODEC_24KHZ)) == ["d.wav"]


@pytest.mark.parametrize(
    "change", ["added", "removed", "longer", "touched", "manifest", "gone", "another"]
)
def test_a_run_that_has_begun_refuses_other_recordings(
    change: str, folder: Path, tmp_path: Path
) -> None:
    run, data = tmp_path / "run", folder
    cache = cache_of(folder, run, ENCODEC_24KHZ)
    begin(run)
    if change == "added":
        record(folder / "c.wav")
    elif change == "removed":
        (folder / "b.wav").unlink()
    elif change == "longer":
        times = (folder / "b.wav").stat()
        record(folder / "b.wav", 0.4)
        os.utime(folder / "b.wav", ns=(times.st_atime_ns, times.st_mtime_ns))
    elif change == "touched":
        os.utime(folder / "a.wav", ns=(0, 10**18))
    elif change == "manifest":
        (folder / "manifest.csv").write_text("file,category\na.wav,music\nb.wav,speech\n")
    elif change == "gone":
        shutil.rmtree(folder)
    else:
        data = tmp_path / "another"
        data.mkdir()
        record(data / "a.wav")
        record(data / "b.wav")
    first = made_at(cache)
    with pytest.raises(SettingsError, match="was made of") as refused:
        cache_of(data, run, ENCODEC_24KHZ)
    assert f"give {cache}" in str(refused.value)
    assert made_at(cache) == first
    assert cache_of(cache, run, ENCODEC_24KHZ) == cache
    shutil.rmtree(cache)
    if change == "gone":
        with pytest.raises(TrainingDataError, match="no folder"):
            cache_of(data, run, ENCODEC_24KHZ)
    else:
        cache_of(data, run, ENCODEC_24KHZ)
        assert cache_of(data, run, ENCODEC_24KHZ) == cache


def test_a_run_inside_its_recordings_is_none_of_them(folder: Path) -> None:
    run = folder / "runs" / "1"
    first = made_at(cache_of(folder, run, ENCODEC_24KHZ))
    begin(run)
    record(run / "decoded.wav")
    assert made_at(cache_of(folder, run, ENCODEC_24KHZ)) == first
    shutil.rmtree(run / "cache")
    assert files(cache_of(folder, run, ENCODEC_24KHZ)) == ["a.wav", "b.wav"]


def test_a_cache_that_does_not_say_what_it_was_made_of_is_taken(
    folder: Path, tmp_path: Path
) -> None:
    cache = cache_of(folder, tmp_path / "run", ENCODEC_24KHZ)
    index = json.loads((cache / "index.json").read_text())
    del index["origin"]
    (cache / "index.json").write_text(json.dumps(index))
    begin(tmp_path / "run")
    record(folder / "c.wav")
    assert files(cache_of(folder, tmp_path / "run", ENCODEC_24KHZ)) == ["a.wav", "b.wav"]
