"""Settings: from the environment, from flags, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service import flags
from service.settings import Settings


@pytest.fixture(autouse=True)
def _no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ENCODEC_{name.upper()}", raising=False)


def test_the_defaults_admit_ten_hours() -> None:
    settings = Settings()
    ten_hours = 10 * 3600
    assert settings.max_audio_seconds >= ten_hours
    assert settings.max_upload_bytes >= ten_hours * 48_000 * 2 * 3
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.models == ("encodec_24khz", "encodec_48khz")


def test_the_environment_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODEC_MODELS", " encodec_48khz , ")
    monkeypatch.setenv("ENCODEC_MAX_UPLOAD_BYTES", "2GiB")
    monkeypatch.setenv("ENCODEC_CACHE_DIR", "/somewhere")
    monkeypatch.setenv("ENCODEC_LOG_LEVEL", "WARNING")
    settings = Settings()
    assert settings.models == ("encodec_48khz",)
    assert settings.max_upload_bytes == 2 * 2**30
    assert settings.cache_dir == Path("/somewhere")
    assert settings.log_level == "warning"


def test_an_empty_variable_is_none(monkeypatch: pytest.MonkeyPatch) -> None:
    """As compose files pass on what is not set."""
    for name in Settings.model_fields:
        monkeypatch.setenv(f"ENCODEC_{name.upper()}", "")
    assert flags.parse([]) == Settings.defaults()


def test_keys_are_not_shown(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODEC_API_KEYS", "alpha,beta")
    settings = Settings()
    assert [key.get_secret_value() for key in settings.api_keys] == ["alpha", "beta"]
    assert "alpha" not in repr(settings)
    assert "alpha" not in settings.model_dump_json()


@pytest.mark.parametrize(
    "wrong",
    [
        {"models": "encodec_96khz"},
        {"models": ""},
        {"device": "tpu"},
        {"device": "cuda:"},
        {"port": 70_000},
        {"max_batch": -1},
        {"step_timeout": 0},
        {"max_requests": 0},
        {"max_audio_seconds": "nan"},
        {"max_audio_seconds": 0},
        {"read_timeout": -1},
        {"host": ""},
        {"weights": "nowhere"},
        {"weights": __file__},
        {"api_keys": " , "},
        {"log_format": "xml"},
    ],
)
def test_what_cannot_be_is_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_weights_are_a_word_or_a_folder(tmp_path: Path) -> None:
    for weights in ("auto", "bundled", "official", "hf", str(tmp_path)):
        assert Settings(weights=weights).weights == weights


def test_defaults_do_not_ask_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODEC_PORT", "9999")
    assert Settings().port == 9999
    assert Settings.defaults().port == 8000


def test_a_flag_is_stronger_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODEC_PORT", "9999")
    monkeypatch.setenv("ENCODEC_THREADS", "3")
    settings = flags.parse(["--port", "7000", "--models", "encodec_24khz"])
    assert (settings.port, settings.threads) == (7000, 3)
    assert settings.models == ("encodec_24khz",)


def test_help_lists_every_setting_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        flags.parse(["--help"])
    assert left.value.code == 0
    said = "".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        assert flags.flag(name) in said
        assert f"[ENCODEC_{name.upper()},default:" in said
        assert field.description
        assert "".join(field.description.split()) in said


@pytest.mark.parametrize(
    "arguments",
    [["--port", "many"], ["--colour", "red"], ["--device", "x"], ["--weights", "nowhere"]],
)
def test_wrong_flags_exit_with_2_and_name_the_flag(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        flags.parse(arguments)
    assert left.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_a_wrong_variable_is_named_and_a_key_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENCODEC_THREADS", "lots")
    monkeypatch.setenv("ENCODEC_API_KEYS", "very-secret")
    with pytest.raises(SystemExit):
        flags.parse([])
    said = capsys.readouterr().err
    assert "ENCODEC_THREADS" in said
    assert "very-secret" not in said
