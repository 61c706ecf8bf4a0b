"""Settings come from flags, a TOML file and the run's folder, and wrong ones are refused."""

import argparse
import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

import pytest

from model_core.errors import SettingsError, UnsupportedBandwidthError
from model_core.training.codec.settings import CodecSettings
from model_core.training.settings import SETTINGS, add_flags, from_flags, save_settings


def parse(run: Path, *flags: str) -> CodecSettings:
    parser = argparse.ArgumentParser()
    add_flags(parser, CodecSettings)
    return from_flags(CodecSettings, parser.parse_args(flags), run)


def test_without_flags_the_defaults_are_the_papers(tmp_path: Path) -> None:
    settings = parse(tmp_path)
    assert settings == CodecSettings()
    assert (settings.time_weight, settings.mel_weight) == (0.1, 1.0)
    assert (settings.adversarial, settings.feature) == (3.0, 3.0)
    stereo = CodecSettings(model="encodec_48khz")
    assert (stereo.adversarial, stereo.feature) == (4.0, 4.0)
    assert (settings.beta1, settings.beta2, settings.learning_rate) == (0.5, 0.9, 3e-4)


def test_flags_win_over_the_file_and_the_file_over_the_run(tmp_path: Path) -> None:
    save_settings(CodecSettings(batch=3, steps=70, seed=9), tmp_path)
    file = tmp_path / "more.toml"
    file.write_text("batch = 4\nsteps = 80\n[mix]\nspeech = 0.5\nmusic = 0.5\n")
    settings = parse(tmp_path, "--config", str(file), "--steps", "90", "--augment", "none")
    assert (settings.seed, settings.batch, settings.steps) == (9, 4, 90)
    assert settings.mix == {"speech": 0.5, "music": 0.5}
    assert settings.augment == "none"


def test_every_field_has_a_flag_that_reads_its_type(tmp_path: Path) -> None:
    settings = parse(
        tmp_path,
        *("--model", "encodec_48khz", "--minutes", "2.5", "--mix", "speech=1,music=2"),
        *("--adversarial-weight", "0.5", "--start-from", "bundled", "--learning-rate", "1e-3"),
    )
    assert settings.model == "encodec_48khz"
    assert settings.minutes == 2.5
    assert settings.mix == {"speech": 1.0, "music": 2.0}
    assert (settings.adversarial, settings.feature) == (0.5, 0.5)
    assert settings.start_from == "bundled"


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("batch", 0),
        ("clip_seconds", -1.0),
        ("model", "encodec_16khz"),
        ("precision", "float8"),
        ("beta1", 1.5),
        ("time_weight", -1.0),
        ("learning_rate", "fast"),
        ("batch", 2.5),
        ("steps", True),
        ("relative_time", "no"),
        ("start_from", 3),
        ("usual_bandwidth", "6"),
        ("mix", "speech"),
        ("mix", {"speech": "much"}),
    ],
)
def test_wrong_values_are_refused(field: str, value: object) -> None:
    with pytest.raises(SettingsError, match=field):
        CodecSettings(**{field: value})  # type: ignore[arg-type]


def test_a_bandwidth_the_model_does_not_have_is_refused() -> None:
    with pytest.raises(UnsupportedBandwidthError):
        CodecSettings(usual_bandwidth=7.0)


def test_clips_are_as_long_as_the_discriminators_windows() -> None:
    with pytest.raises(SettingsError, match="clip_seconds"):
        CodecSettings(clip_seconds=0.08)
    assert CodecSettings(clip_seconds=0.08, adversarial_weight=0.0).clip_seconds == 0.08


def test_a_run_begins_with_a_loss() -> None:
    alone: dict[str, Any] = {"time_weight": 0.0, "mel_weight": 0.0}
    with pytest.raises(SettingsError, match="loudness"):
        CodecSettings(**alone)
    for name in ("time", "mel", "spectrum", "loudness"):
        settings = CodecSettings(**alone | {f"{name}_weight": 1.0})
        assert settings.weights_between_waveforms[name] == 1


@pytest.mark.parametrize("text", ["batches = 3", "batch = ", "batch = 'many'"])
def test_a_wrong_file_is_named(tmp_path: Path, text: str) -> None:
    file = tmp_path / "wrong.toml"
    file.write_text(text)
    with pytest.raises(SettingsError, match=r"wrong\.toml|batch"):
        parse(tmp_path, "--config", str(file))


@pytest.mark.parametrize("text", ["{", "[]", '{"batch": "x"}'])
def test_broken_settings_of_a_run_are_refused(tmp_path: Path, text: str) -> None:
    (tmp_path / SETTINGS).write_text(text)
    with pytest.raises(SettingsError, match=r"settings\.json|batch"):
        parse(tmp_path)


def test_settings_are_kept_whole(tmp_path: Path) -> None:
    settings = CodecSettings(mix={"speech": 1.0}, minutes=3.0)
    save_settings(settings, tmp_path)
    assert [path.name for path in tmp_path.iterdir()] == [SETTINGS]
    assert json.loads((tmp_path / SETTINGS).read_text()) == asdict(settings)
    assert parse(tmp_path) == settings


def test_a_folder_is_found_again_from_elsewhere(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "mine").mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse(tmp_path / "run", "--start-from", "mine").start_from == str(tmp_path / "mine")
    assert parse(tmp_path / "run", "--start-from", "bundled").start_from == "bundled"
