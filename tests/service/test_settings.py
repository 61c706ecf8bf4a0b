"""Settings: their defaults, the environment, the flags, and what is refused."""

from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from service.settings import Settings, flag, parse_flags


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ENCODEC_{name.upper()}", raising=False)


def test_the_defaults_admit_ten_hours() -> None:
    settings = Settings()
    ten_hours = 10 * 3600
    assert settings.max_audio_seconds >= ten_hours
    assert settings.max_upload_bytes >= ten_hours * 48_000 * 2 * 3
    assert (settings.host, settings.port) == ("127.0.0.1", 8000)
    assert settings.models == ("encodec_24khz", "encodec_48khz")


def test_settings_are_read_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODEC_MODELS", " encodec_48khz , ")
    monkeypatch.setenv("ENCODEC_MAX_UPLOAD_BYTES", "2GiB")
    monkeypatch.setenv("ENCODEC_CACHE_DIR", "/somewhere")
    monkeypatch.setenv("ENCODEC_LOG_LEVEL", "WARNING")
    settings = Settings()
    assert settings.models == ("encodec_48khz",)
    assert settings.max_upload_bytes == 2 * 2**30
    assert settings.cache_dir == Path("/somewhere")
    assert settings.log_level == "warning"


def test_keys_are_not_in_any_text_of_the_settings(monkeypatch: pytest.MonkeyPatch) -> None:
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
        {"page": "perhaps"},
        {"cors_origins": "example.org"},
        {"cors_origins": "https://example.org/path"},
    ],
)
def test_wrong_values_are_refused(wrong: dict[str, Any]) -> None:
    with pytest.raises(ValidationError):
        Settings(**wrong)


def test_weights_are_a_word_or_a_folder(tmp_path: Path) -> None:
    for weights in ("auto", "bundled", "official", "hf", str(tmp_path)):
        assert Settings(weights=weights).weights == weights


def test_defaults_ignore_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODEC_PORT", "9999")
    assert Settings().port == 9999
    assert Settings.model_construct().port == 8000


def test_an_empty_variable_counts_as_unset(monkeypatch: pytest.MonkeyPatch) -> None:
    """Compose files pass on variables that are not set as empty ones."""
    for name in Settings.model_fields:
        monkeypatch.setenv(f"ENCODEC_{name.upper()}", "")
    assert Settings() == Settings.model_construct()


def test_without_flags_and_variables_the_settings_are_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Empty variables count as none."""
    for name in Settings.model_fields:
        monkeypatch.setenv(f"ENCODEC_{name.upper()}", "")
    assert parse_flags([]) == Settings.model_construct()


def test_a_flag_is_stronger_than_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("ENCODEC_PORT", "9999")
    monkeypatch.setenv("ENCODEC_THREADS", "3")
    settings = parse_flags(["--port", "7000", "--models", "encodec_24khz"])
    assert (settings.port, settings.threads) == (7000, 3)
    assert settings.models == ("encodec_24khz",)


def test_help_lists_every_setting_with_its_variable(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as left:
        parse_flags(["--help"])
    assert left.value.code == 0
    text = "".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        assert flag(name) in text
        assert f"[ENCODEC_{name.upper()},default:" in text
        assert field.description
        assert "".join(field.description.split()) in text


@pytest.mark.parametrize(
    "arguments",
    [["--port", "many"], ["--colour", "red"], ["--device", "x"], ["--weights", "nowhere"]],
)
def test_wrong_flags_exit_with_2_and_name_the_flag(
    arguments: list[str], capsys: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(SystemExit) as left:
        parse_flags(arguments)
    assert left.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_a_wrong_variable_is_named_and_keys_are_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENCODEC_THREADS", "lots")
    monkeypatch.setenv("ENCODEC_API_KEYS", "very-secret")
    with pytest.raises(SystemExit):
        parse_flags([])
    text = capsys.readouterr().err
    assert "ENCODEC_THREADS" in text
    assert "very-secret" not in text
