"""One input: directions, names and options."""

import io
from pathlib import Path

import numpy as np
import pytest

from model_core.config import CONFIGS
from model_core.ecdc import Header, payload_bytes, read_header

from .conftest import Command, files_in, samples_of, write_wav


def header_of(path: Path) -> Header:
    return read_header(io.BytesIO(path.read_bytes()))


def test_compresses_beside_the_input(encodec: Command, wav: Path, tmp_path: Path) -> None:
    outcome = encodec(wav)
    assert (outcome.code, outcome.out, outcome.err) == (0, b"", "")
    assert files_in(tmp_path) == {"x.wav", "x.ecdc"}
    header = header_of(tmp_path / "x.ecdc")
    (weights,) = encodec.weights.glob("encodec_24khz-*")
    assert header.model == f"encodec_24khz:{weights.stem.rsplit('-', 1)[1]}"
    assert (header.audio_length, header.num_codebooks, header.lm) == (9600, 8, False)


def test_decompresses_beside_the_input(encodec: Command, wav: Path, tmp_path: Path) -> None:
    encodec(wav)
    outcome = encodec(tmp_path / "x.ecdc")
    assert (outcome.code, outcome.out, outcome.err) == (0, b"", "")
    assert files_in(tmp_path) == {"x.wav", "x.ecdc", "x_decompressed.wav"}
    samples, rate = samples_of(tmp_path / "x_decompressed.wav")
    assert (samples.shape, rate) == ((9600, 1), 24_000)
    assert samples.any()


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


def test_two_dashes_alone_are_no_input(encodec: Command) -> None:
    outcome = encodec("--")
    assert outcome.code == 2
    assert "INPUT" in outcome.err


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


@pytest.mark.parametrize("flag", ["-q", "--hq"])
def test_hq(encodec: Command, wav: Path, tmp_path: Path, flag: str) -> None:
    assert encodec(wav, tmp_path / "y.ecdc", flag, "-b", "3").code == 0
    header = header_of(tmp_path / "y.ecdc")
    assert header.model.startswith("encodec_48khz:")
    assert (header.audio_length, header.num_codebooks) == (19_200, 2)
    assert encodec(tmp_path / "y.ecdc", tmp_path / "y.wav").code == 0
    samples, rate = samples_of(tmp_path / "y.wav")
    assert (samples.shape, rate) == ((19_200, 2), 48_000)


@pytest.mark.parametrize("flag", ["-l", "--lm"])
def test_lm_changes_the_bytes_and_not_the_sound(
    encodec: Command, wav: Path, tmp_path: Path, flag: str
) -> None:
    plain, coded = tmp_path / "plain.ecdc", tmp_path / "coded.ecdc"
    assert encodec(wav, plain).code == 0
    assert encodec(flag, wav, coded).code == 0
    assert header_of(coded).lm
    assert "+" in header_of(coded).model
    assert encodec(plain).code == encodec(coded).code == 0
    one = (tmp_path / "plain_decompressed.wav").read_bytes()
    assert (tmp_path / "coded_decompressed.wav").read_bytes() == one


def test_wav_output_does_both(encodec: Command, wav: Path, tmp_path: Path) -> None:
    outcome = encodec(wav, tmp_path / "both.wav", "-b", "12")
    assert (outcome.code, outcome.err) == (0, "")
    assert files_in(tmp_path) == {"x.wav", "both.wav"}
    encodec(wav, "-b", "12")
    encodec(tmp_path / "x.ecdc")
    one = (tmp_path / "x_decompressed.wav").read_bytes()
    assert (tmp_path / "both.wav").read_bytes() == one


@pytest.mark.parametrize("flag", ["-s", "--decompress_suffix"])
def test_suffix(encodec: Command, wav: Path, tmp_path: Path, flag: str) -> None:
    encodec(wav)
    assert encodec(flag, "_again", tmp_path / "x.ecdc").code == 0
    assert files_in(tmp_path) == {"x.wav", "x.ecdc", "x_again.wav"}


def test_extensions_in_capitals(encodec: Command, wav: Path, tmp_path: Path) -> None:
    assert encodec(wav, tmp_path / "Y.ECDC").code == 0
    assert encodec(tmp_path / "Y.ECDC", tmp_path / "Y.WAV").code == 0
    assert len(samples_of(tmp_path / "Y.WAV")[0]) == 9600


def test_options_after_and_between_the_names(encodec: Command, wav: Path, tmp_path: Path) -> None:
    assert encodec(wav, "-b", "3", tmp_path / "y.ecdc", "-f").code == 0
    assert header_of(tmp_path / "y.ecdc").num_codebooks == 4


def test_the_output_folder_is_made(encodec: Command, wav: Path, tmp_path: Path) -> None:
    outcome = encodec("-o", tmp_path / "new" / "folder", wav)
    assert (outcome.code, outcome.err) == (0, "")
    assert files_in(tmp_path / "new" / "folder") == {"x.ecdc"}


def test_other_rates_and_channels(encodec: Command, tmp_path: Path) -> None:
    write_wav(tmp_path / "cd.wav", seconds=0.5, rate=44_100, channels=2)
    assert encodec(tmp_path / "cd.wav").code == 0
    assert header_of(tmp_path / "cd.ecdc").audio_length == 12_000


def test_longer_than_a_block(encodec: Command, tmp_path: Path) -> None:
    write_wav(tmp_path / "long.wav", seconds=3.3)
    for flags in ([], ["--hq"]):
        assert encodec("-f", tmp_path / "long.wav", *flags).code == 0
        assert encodec("-f", "-r", tmp_path / "long.ecdc").code == 0
        samples, rate = samples_of(tmp_path / "long_decompressed.wav")
        assert len(samples) == 3.3 * rate


@pytest.mark.parametrize("flags", [[], ["--hq"]])
def test_clipping_is_told_once(
    encodec: Command, loud_weights: Path, tmp_path: Path, flags: list[str]
) -> None:
    source = write_wav(tmp_path / "x.wav", seconds=2.5)
    outcome = encodec(source, tmp_path / "y.wav", *flags, weights=loud_weights)
    assert outcome.code == 0
    assert len(outcome.lines) == 1
    assert "clipped" in outcome.err
    assert "-r" in outcome.err
    assert np.abs(samples_of(tmp_path / "y.wav")[0].astype(int)).max() == round(0.99 * 32767)


@pytest.mark.parametrize("flag", ["-r", "--rescale"])
def test_rescaling_keeps_the_shape(
    encodec: Command, loud_weights: Path, wav: Path, tmp_path: Path, flag: str
) -> None:
    """Against what the samples are before they are clipped: all are multiplied by one factor."""
    from model_core.compress import decompress

    encodec(wav, weights=loud_weights)
    outcome = encodec(tmp_path / "x.ecdc", flag, weights=loud_weights)
    assert (outcome.code, outcome.err) == (0, "")
    samples = samples_of(tmp_path / "x_decompressed.wav")[0][:, 0]
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("ENCODEC_WEIGHTS", str(loud_weights))
        whole, _ = decompress((tmp_path / "x.ecdc").read_bytes())
    true = whole[0].numpy()
    assert np.abs(true).max() > 0.99
    expected = true / np.abs(true).max() * 0.99 * 32767
    assert np.abs(samples - expected).max() <= 0.51


def test_rescaling_leaves_quiet_audio_alone(encodec: Command, wav: Path, tmp_path: Path) -> None:
    encodec(wav, tmp_path / "a.wav")
    encodec(wav, tmp_path / "b.wav", "-r")
    assert (tmp_path / "a.wav").read_bytes() == (tmp_path / "b.wav").read_bytes()


def test_weights_from_the_environment(
    encodec: Command, wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from model_core.cli import main

    monkeypatch.setenv("ENCODEC_WEIGHTS", str(encodec.weights))
    assert main([str(wav)]) == 0
    by_environment = (tmp_path / "x.ecdc").read_bytes()
    assert encodec("-f", wav).code == 0
    assert (tmp_path / "x.ecdc").read_bytes() == by_environment


def test_device(encodec: Command, wav: Path, tmp_path: Path) -> None:
    assert encodec("--device", "cpu", wav).code == 0
    for device in ("abacus", "cuda:99", "mps:3"):
        outcome = encodec("--device", device, wav, tmp_path / "y.ecdc")
        assert outcome.code == 1
        assert len(outcome.lines) == 1
        assert device in outcome.err
