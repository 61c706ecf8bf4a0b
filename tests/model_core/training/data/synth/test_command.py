"""A folder of made-up sound can be prepared and trained on."""

import argparse
import csv
import shutil
from pathlib import Path

import pytest

from model_core.config import ENCODEC_48KHZ
from model_core.errors import EncodecError, MissingProgramError, SettingsError, TrainingDataError
from model_core.training.data.build import build_cache
from model_core.training.data.cache import AudioCache
from model_core.training.data.sampler import ClipSampler
from model_core.training.data.synth.command import add_arguments, run, synthesise
from model_core.training.data.synth.programs import find_soundfont


def _lacks_anything() -> bool:
    try:
        find_soundfont()
    except MissingProgramError:
        return True
    return None in (shutil.which("espeak-ng"), shutil.which("fluidsynth"))


needs_programs = pytest.mark.skipif(
    _lacks_anything(), reason="espeak-ng, fluidsynth or a soundfont is not installed"
)


@needs_programs
def test_the_folder_can_be_trained_on(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    parser = argparse.ArgumentParser()
    add_arguments(parser)
    folder = tmp_path / "made"
    run(parser.parse_args([str(folder), "--minutes", "0.4", "--voices", "3"]))
    with (folder / "manifest.csv").open() as file:
        rows = list(csv.DictReader(file))
    assert f"{len(rows)} files" in capsys.readouterr().out
    assert {row["category"] for row in rows} == {"speech", "music"}
    assert len({row["group"] for row in rows if row["category"] == "speech"}) > 1
    report = build_cache(folder, tmp_path / "cache", ENCODEC_48KHZ)
    assert not report.skipped
    assert len(report.recordings) == len(rows)
    seconds = sum(r.length for r in report.recordings) / 48_000
    assert 24 <= seconds < 60
    batch = ClipSampler(AudioCache(tmp_path / "cache"), 48_000, {"music": 1}, 1).batch(0, 4)
    assert batch.shape == (4, 2, 48_000)
    assert not batch[:, 0].equal(batch[:, 1])
    assert 0.003 < float(batch.abs().amax()) < 1


@needs_programs
def test_the_same_seed_gives_the_same_sound(tmp_path: Path) -> None:
    for name, seed in (("a", 1), ("b", 1), ("c", 2)):
        synthesise(tmp_path / name, 0.1, seed=seed)
    found = {
        name: {
            p.relative_to(tmp_path / name): p.read_bytes() for p in (tmp_path / name).rglob("*.wav")
        }
        for name in "abc"
    }
    assert found["a"] == found["b"] != found["c"]


@pytest.mark.parametrize(
    "wrong",
    [{"minutes": 0.0}, {"minutes": 1.0, "speech_share": 2.0}, {"minutes": 1.0, "voice_count": 0}],
)
def test_what_cannot_be_made_is_refused(tmp_path: Path, wrong: dict[str, float]) -> None:
    with pytest.raises(SettingsError):
        synthesise(tmp_path / "made", **wrong)  # type: ignore[arg-type]


def test_a_folder_in_use_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "mine.wav").touch()
    with pytest.raises(TrainingDataError, match="not empty"):
        synthesise(tmp_path, 1.0)


def test_without_the_programs_nothing_is_begun(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(EncodecError, match="not installed"):
        synthesise(tmp_path / "made", 1.0)
    assert not (tmp_path / "made").exists()
