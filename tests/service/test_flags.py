"""The flags of `encodec-serve`: what they mean, and what their errors and help say."""

import pytest

from service import flags
from service.settings import Settings


@pytest.fixture(autouse=True)
def no_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in Settings.model_fields:
        monkeypatch.delenv(f"ENCODEC_{name.upper()}", raising=False)


def test_without_flags_and_variables_the_settings_are_the_defaults(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Empty variables count as none."""
    for name in Settings.model_fields:
        monkeypatch.setenv(f"ENCODEC_{name.upper()}", "")
    assert flags.parse([]) == Settings.defaults()


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
    text = "".join(capsys.readouterr().out.split())
    for name, field in Settings.model_fields.items():
        assert flags.flag(name) in text
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
        flags.parse(arguments)
    assert left.value.code == 2
    assert arguments[0] in capsys.readouterr().err


def test_a_wrong_variable_is_named_and_keys_are_never_shown(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("ENCODEC_THREADS", "lots")
    monkeypatch.setenv("ENCODEC_API_KEYS", "very-secret")
    with pytest.raises(SystemExit):
        flags.parse([])
    text = capsys.readouterr().err
    assert "ENCODEC_THREADS" in text
    assert "very-secret" not in text
