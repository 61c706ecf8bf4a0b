"""The options and how they are told from names."""

import subprocess
import sys
from pathlib import Path

import pytest

from model_core.audio.reader import MAX_RATE, MIN_RATE
from model_core.config import CONFIGS
from model_core.ecdc import payload_bytes

from .conftest import (
    Command,
    files_in,
    header_of,
    samples_of,
    write_wav,
)


@pytest.mark.parametrize("options", [[], ["-b", "3"], ["-f", "y.wav"]])
def test_names_behind_two_dashes(
    encodec: Command, tmp_path: Path, options: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """They may begin with a dash, and may follow others."""
    monkeypatch.chdir(tmp_path)
    for seed, name in enumerate(("-x.wav", "y.wav", "--")):
        write_wav(tmp_path / name, seed=seed)
    others = [option for option in options if option.endswith(".wav")]
    assert encodec(*options, "--", "-x.wav", "--", "-o").code == 1  # -o is no file
    made = {f"{Path(name).stem}.ecdc" for name in ("-x.wav", "--", *others)}
    assert files_in(tmp_path) == {"-x.wav", "y.wav", "--"} | made


@pytest.mark.parametrize(
    "words", [[""], ["", "x.ecdc"], ["x.wav", ""], ["--", ""], ["-o", "", "x.wav"], ["--info", ""]]
)
def test_an_empty_name_is_not_the_current_folder(
    encodec: Command, tmp_path: Path, words: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """As that of a variable of the shell that is not set."""
    monkeypatch.chdir(tmp_path)
    write_wav(tmp_path / "x.wav")
    outcome = encodec(*words)
    assert outcome.code == 2
    assert "a name is empty" in outcome.err
    assert files_in(tmp_path) == {"x.wav"}


def test_two_dashes_alone_are_no_input(encodec: Command) -> None:
    outcome = encodec("--")
    assert outcome.code == 2
    assert "INPUT" in outcome.err


def test_options_after_and_between_the_names(encodec: Command, wav: Path, tmp_path: Path) -> None:
    assert encodec(wav, "-b", "3", tmp_path / "y.ecdc", "-f").code == 0
    assert header_of(tmp_path / "y.ecdc").num_codebooks == 4


def test_extensions_in_capitals(encodec: Command, wav: Path, tmp_path: Path) -> None:
    assert encodec(wav, tmp_path / "Y.ECDC").code == 0
    assert encodec(tmp_path / "Y.ECDC", tmp_path / "Y.WAV").code == 0
    assert len(samples_of(tmp_path / "Y.WAV")[0]) == 9600


@pytest.mark.parametrize(
    ("flag", "values"),
    [
        ("--sample-rate", (str(MIN_RATE - 1), str(MAX_RATE + 1), "44100.5", "-1", "any", "")),
        ("--channels", ("0", "3", "stereo")),
    ],
)
def test_rates_and_channels_that_there_are_not(
    encodec: Command, wav: Path, flag: str, values: tuple[str, ...]
) -> None:
    for value in values:
        outcome = encodec(f"{flag}={value}", wav)
        assert outcome.code == 2
        assert flag in outcome.err
    assert files_in(wav.parent) == {"x.wav"}
    for rate in (MIN_RATE, MAX_RATE):
        assert encodec("-f", "--sample-rate", rate, wav, wav.with_name("y.wav")).code == 0


@pytest.mark.parametrize("given", [("--sample-rate", "8000"), ("--channels", "2")])
def test_what_only_decoded_audio_has(encodec: Command, wav: Path, given: tuple[str, str]) -> None:
    outcome = encodec(*given, wav)
    assert (outcome.code, files_in(wav.parent)) == (1, {"x.wav"})
    assert "are for decoded audio" in outcome.err


@pytest.mark.parametrize("flag", ["-s", "--decompress_suffix"])
def test_suffix(encodec: Command, wav: Path, tmp_path: Path, flag: str) -> None:
    encodec(wav)
    assert encodec(flag, "_again", tmp_path / "x.ecdc").code == 0
    assert files_in(tmp_path) == {"x.wav", "x.ecdc", "x_again.wav"}


@pytest.mark.parametrize(
    ("bandwidth", "codebooks"), [("1.5", 2), ("3", 4), ("6", 8), ("12.0", 16), ("24", 32)]
)
@pytest.mark.parametrize("flag", ["-b", "--bandwidth"])
def test_bandwidth(
    encodec: Command, wav: Path, tmp_path: Path, flag: str, bandwidth: str, codebooks: int
) -> None:
    assert encodec(flag, bandwidth, wav).code == 0
    header = header_of(tmp_path / "x.ecdc")
    assert header.num_codebooks == codebooks
    size = len(header.to_bytes()) + payload_bytes(CONFIGS["encodec_24khz"], header)
    assert (tmp_path / "x.ecdc").stat().st_size == size


def test_bandwidth_the_model_has_not(encodec: Command, wav: Path, tmp_path: Path) -> None:
    outcome = encodec("-b", "1.5", "--hq", wav)
    assert outcome.code == 2
    for word in ("1.5", "encodec_48khz", "3, 6, 12, 24"):
        assert word in outcome.lines[-1]
    assert encodec("-b", "5", wav).code == 2
    assert encodec("-b", "much", wav).code == 2
    assert files_in(tmp_path) == {"x.wav"}


def test_help_needs_no_numpy() -> None:
    program = (
        "import sys; from model_core.cli.command import parser; parser().format_help();"
        "print({'numpy', 'av', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
