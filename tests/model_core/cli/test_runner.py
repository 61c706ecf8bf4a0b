"""Files through the codec: what comes out, and what is refused with no change to any file."""

import struct
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model_core.audio import pcm16, wav_header
from model_core.audio.files import read_whole
from model_core.codec import Codec, LanguageModel
from model_core.codec.entropy import LMDecoder
from model_core.ecdc import Header
from model_core.engine.native import find_library
from tests.peers import signal

from .conftest import (
    Command,
    files_in,
    header_of,
    refused,
    samples_of,
    write_wav,
)


def test_compresses_beside_the_input(encodec: Command, wav: Path, tmp_path: Path) -> None:
    outcome = encodec(wav)
    assert (outcome.code, outcome.out, outcome.err) == (0, b"", "")
    assert files_in(tmp_path) == {"x.wav", "x.ecdc"}
    header = header_of(tmp_path / "x.ecdc")
    (weights,) = encodec.weights.glob("encodec_24khz-*")
    assert header.model == f"encodec_24khz:{weights.stem.rsplit('-', 1)[1]}"
    assert (header.audio_length, header.num_codebooks, header.lm) == (9600, 8, False)


@pytest.mark.parametrize("lm", [[], ["--lm"]])
def test_format_1_comes_back_like_format_0(
    encodec: Command, wav: Path, tmp_path: Path, lm: list[str]
) -> None:
    for version in "01":
        file = tmp_path / f"{version}.ecdc"
        outcome = encodec("--format", version, *lm, wav, file)
        assert (outcome.code, outcome.err) == (0, "")
        assert file.read_bytes()[4] == int(version)
        assert encodec(file, tmp_path / f"{version}.wav").code == 0
    assert (tmp_path / "1.wav").read_bytes() == (tmp_path / "0.wav").read_bytes()
    damaged = bytearray((tmp_path / "1.ecdc").read_bytes())
    damaged[-60] ^= 1
    (tmp_path / "d.ecdc").write_bytes(damaged)
    refused(encodec(tmp_path / "d.ecdc"), "damaged")
    assert encodec("--format", "2", wav).code == 2


@pytest.mark.parametrize("version", ["0", "1"])
@pytest.mark.parametrize("model", [[], ["--hq"]])
def test_a_part_has_the_samples_of_the_whole(
    encodec: Command, tmp_path: Path, version: str, model: list[str]
) -> None:
    file, part = tmp_path / "x.ecdc", tmp_path / "part.wav"
    encodec("--format", version, *model, write_wav(tmp_path / "x.wav", seconds=2.3), file)
    encodec(file, tmp_path / "whole.wav")
    whole, rate = samples_of(tmp_path / "whole.wav")
    for start, end in ((0.5, 1.25), (2, 9), (0, 0.001), (1.1, None)):
        last = [] if end is None else ["--end", end]
        outcome = encodec("-f", "--start", start, *last, file, part)
        assert (outcome.code, outcome.err) == (0, "")
        stop = None if end is None else round(end * rate)
        assert np.array_equal(samples_of(part)[0], whole[round(start * rate) : stop])
    part.unlink()
    refused(encodec("--start", "3", file, part), "2.300 s long")
    refused(encodec("--start", "1e308", file, part), "2.300 s long")
    refused(encodec("--start", "1", tmp_path / "x.wav", "-"), "for .ecdc files")
    for wrong in (["--start", "-1"], ["--start", "x"], ["--end", "0"], ["--end", "nan"]):
        assert encodec(*wrong, file, part).code == 2
    assert not part.exists()


def test_salvage_gives_back_what_is_intact(encodec: Command, tmp_path: Path) -> None:
    file, out = tmp_path / "x.ecdc", tmp_path / "out.wav"
    encodec("--format", "1", write_wav(tmp_path / "x.wav", seconds=3.3), file)
    encodec(file, tmp_path / "whole.wav")
    whole = (tmp_path / "whole.wav").read_bytes()
    outcome = encodec("--salvage", file, out)
    assert (outcome.code, outcome.err, out.read_bytes()) == (0, "", whole)
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 1
    file.write_bytes(data)
    refused(encodec("-f", file, out), "damaged")
    outcome = encodec("-f", "--salvage", file, out)
    assert outcome.code == 0
    (line,) = outcome.lines
    assert line == f"encodec: {file}: 1.01 s of audio are lost, in 1 gap, and silent"
    samples, before = samples_of(out)[0], samples_of(whole)[0]
    assert samples.shape == before.shape
    begin = 76 * 320
    assert np.array_equal(samples[: begin - 240], before[: begin - 240])
    assert not samples[begin : 2 * begin].any()
    assert samples[2 * begin + 240 :].any()
    file.write_bytes(data[: len(data) // 2 - 100])
    outcome = encodec("-f", "--salvage", file, out)
    assert outcome.code == 0
    assert "the end is missing" in outcome.err
    file.write_bytes(data[:150])
    refused(encodec("-f", "--salvage", file, out))


@pytest.mark.parametrize("lm", [[], ["--lm"]])
def test_salvage_of_version_0_is_silent_after_its_codes(
    encodec: Command, wav: Path, tmp_path: Path, lm: list[str]
) -> None:
    file, out = tmp_path / "x.ecdc", tmp_path / "out.wav"
    encodec(*lm, wav, file)
    encodec(file, tmp_path / "whole.wav")
    outcome = encodec("--salvage", file, out)
    assert (outcome.code, outcome.err) == (0, "")
    assert out.read_bytes() == (tmp_path / "whole.wav").read_bytes()
    file.write_bytes(file.read_bytes()[:-100])
    outcome = encodec("-f", "--salvage", file, out)
    assert outcome.code == 0
    assert " s of audio are lost, in 1 gap, and silent" in outcome.err
    samples, whole = (samples_of(tmp_path / name)[0] for name in ("out.wav", "whole.wav"))
    assert samples.shape == whole.shape
    assert np.array_equal(samples[:2400], whole[:2400])
    assert not samples[-320:].any()
    header = header_of(file)
    forged = Header(header.model, 2**50, header.num_codebooks, header.lm)
    file.write_bytes(forged.to_bytes() + file.read_bytes()[len(header.to_bytes()) :])
    if not lm:
        refused(encodec("-f", "--salvage", file, out), "too much for silence")


def test_effort_changes_the_codes(encodec: Command, wav: Path, tmp_path: Path) -> None:
    files = []
    for effort in ("0", "1", "3"):
        outcome = encodec("--effort", effort, wav, tmp_path / f"{effort}.ecdc")
        assert (outcome.code, outcome.err) == (0, "")
        files.append((tmp_path / f"{effort}.ecdc").read_bytes())
    assert len(set(files)) == 3
    encodec(wav)
    assert (tmp_path / "x.ecdc").read_bytes() == files[0]
    assert encodec("--effort", "4", wav).code == 2


def test_a_line_tells_what_effort_1_would_avoid(encodec: Command, tmp_path: Path) -> None:
    audio = tmp_path / "offset.wav"
    samples = 0.2 * signal(1, 24_000, 24_000).numpy() + 0.1
    audio.write_bytes(wav_header(24_000, *samples.shape) + pcm16(samples))
    (line,) = encodec(audio).lines
    assert line.startswith(f"encodec: {audio}: a constant offset of 0.")
    assert line.endswith("; --effort 1 avoids it")
    outcome = encodec("--effort", "1", "-f", audio)
    assert (outcome.code, outcome.err) == (0, "")


def test_decompresses_beside_the_input(encodec: Command, wav: Path, tmp_path: Path) -> None:
    encodec(wav)
    outcome = encodec(tmp_path / "x.ecdc")
    assert (outcome.code, outcome.out, outcome.err) == (0, b"", "")
    assert files_in(tmp_path) == {"x.wav", "x.ecdc", "x_decompressed.wav"}
    samples, rate = samples_of(tmp_path / "x_decompressed.wav")
    assert (samples.shape, rate) == ((9600, 1), 24_000)
    assert samples.any()


@pytest.mark.parametrize("flag", ["-q", "--hq"])
def test_hq(encodec: Command, wav: Path, tmp_path: Path, flag: str) -> None:
    assert encodec(wav, tmp_path / "y.ecdc", flag, "-b", "3").code == 0
    header = header_of(tmp_path / "y.ecdc")
    assert header.model.startswith("encodec_48khz:")
    assert (header.audio_length, header.num_codebooks) == (19_200, 2)
    assert encodec(tmp_path / "y.ecdc", tmp_path / "y.wav").code == 0
    samples, rate = samples_of(tmp_path / "y.wav")
    assert (samples.shape, rate) == ((19_200, 2), 48_000)


@pytest.mark.parametrize("version", ["0", "1"])
def test_verify_makes_no_file_of_what_does_not_decode(
    encodec: Command, wav: Path, tmp_path: Path, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain, verified, wrong = (tmp_path / f"{name}.ecdc" for name in ("plain", "good", "wrong"))
    options = ["--format", version, "--lm"]
    encodec(*options, wav, plain)
    assert encodec(*options, "--verify", wav, verified).code == 0
    assert verified.read_bytes() == plain.read_bytes()
    monkeypatch.setattr(LanguageModel, "decode_chunks", lambda *_: [np.zeros((8, 30))])
    monkeypatch.setattr(LMDecoder, "decode", lambda *_: np.zeros((8, 30)))
    refused(encodec(*options, "--verify", wav, wrong), "does not decode to the same codes")
    assert not wrong.exists()


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


@pytest.mark.parametrize("flags", [[], ["--hq"]])
def test_the_name_of_the_output_says_its_format(
    encodec: Command, wav: Path, tmp_path: Path, flags: list[str]
) -> None:
    source = tmp_path / "x.ecdc"
    encodec(wav, *flags)
    encodec(source, tmp_path / "y.wav")
    want, rate = samples_of(tmp_path / "y.wav")
    for suffix in (".flac", ".FLAC", ".opus", ".ogg", ".mp3", ".s16", ".f32"):
        file = tmp_path / f"y{suffix}"
        for _ in range(2):  # an output that exists is one too
            outcome = encodec("-f", source, file)
            assert (outcome.code, outcome.out, outcome.err) == (0, b"", "")
        if suffix == ".s16":
            assert file.read_bytes() == want.tobytes()
        elif suffix == ".f32":
            floats = np.frombuffer(file.read_bytes(), "<f4").reshape(want.shape)
            assert np.array_equal(np.rint(floats * np.float32(32767)), want)
        else:
            with file.open("rb") as opened:
                samples, found = read_whole(opened)
            assert samples.shape == (want.shape[1], len(want) * found // rate)
            if suffix.lower() == ".flac":
                assert np.array_equal(np.rint(samples.T * 2**15), want)
    refused(encodec(source, tmp_path / "y.flac"), "-f")


def test_bare_floats_are_not_clipped(
    encodec: Command, loud_weights: Path, wav: Path, tmp_path: Path
) -> None:
    encodec(wav, weights=loud_weights)
    outcome = encodec(tmp_path / "x.ecdc", tmp_path / "y.f32", weights=loud_weights)
    assert (outcome.code, outcome.err) == (0, "")
    assert np.abs(np.frombuffer((tmp_path / "y.f32").read_bytes(), "<f4")).max() > 1
    outcome = encodec(tmp_path / "x.ecdc", tmp_path / "y.flac", weights=loud_weights)
    assert "clipped" in outcome.err


def test_another_rate_and_other_channels(encodec: Command, wav: Path, tmp_path: Path) -> None:
    encodec(wav)
    flags = ("--sample-rate", "44100", "--channels", "2")
    assert encodec(tmp_path / "x.ecdc", tmp_path / "y.wav", *flags).code == 0
    samples, rate = samples_of(tmp_path / "y.wav")
    assert (samples.shape, rate) == ((17_640, 2), 44_100)
    assert encodec("-f", "-r", wav, tmp_path / "z.wav", *flags).code == 0
    assert np.array_equal(samples_of(tmp_path / "z.wav")[0], samples)
    assert (
        encodec("-", *flags, stdin=(tmp_path / "x.ecdc").read_bytes()).out
        == (tmp_path / "y.wav").read_bytes()
    )


def test_the_originals_rate_and_channels(encodec: Command, tmp_path: Path) -> None:
    source = write_wav(tmp_path / "cd.wav", seconds=22_049 / 44_100, rate=44_100, channels=2)
    flags = ("--sample-rate", "original", "--channels", "original")
    encodec("--format", "1", source)
    assert encodec(tmp_path / "cd.ecdc", tmp_path / "y.flac", *flags).code == 0
    with (tmp_path / "y.flac").open("rb") as file:
        samples, rate = read_whole(file)
    assert (samples.shape, rate) == ((2, 22_049), 44_100)
    encodec("-f", source)
    refused(encodec(tmp_path / "cd.ecdc", tmp_path / "z.wav", *flags), "does not say")
    assert not (tmp_path / "z.wav").exists()


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


def test_models_are_loaded_once(
    encodec: Command, folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    loaded = []
    original = Codec.__init__

    def counting(self: Codec, *args: object, **kwargs: object) -> None:
        loaded.append(self)
        original(self, *args, **kwargs)  # type: ignore[arg-type]

    monkeypatch.setattr(Codec, "__init__", counting)
    encodec(folder)
    assert len(loaded) == 1
    loaded.clear()
    encodec(folder / "a.ecdc", folder / "b.ecdc", folder / "c.ecdc")
    assert len(loaded) == 1


_WITHOUT = """
import sys
from model_core.cli import main
source, folder = sys.argv[1:]
for options in ([], ["--hq"]):
    assert main(["-f", *options, source, f"{folder}/x.ecdc"]) == 0
    assert main(["-f", f"{folder}/x.ecdc", f"{folder}/x.wav"]) == 0
print("torch" in sys.modules)
"""


@pytest.mark.skipif(find_library() is None, reason="no C++ compiler at installation")
def test_the_native_engine_needs_no_torch(
    wav: Path, tmp_path: Path, environment: dict[str, str]
) -> None:
    """Importing it takes longer than all the rest."""
    command = [sys.executable, "-c", _WITHOUT, str(wav), str(tmp_path)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.stdout, done.stderr) == ("False\n", "")


def test_weights(encodec: Command, wav: Path, tmp_path: Path) -> None:
    empty = tmp_path / "empty"
    empty.mkdir()
    refused(encodec(wav, weights=empty), "x.wav", "encodec_24khz")
    refused(encodec(wav, weights="nonsense"), "nonsense")
    encodec(wav)
    refused(encodec(tmp_path / "x.ecdc", weights=empty), "x.ecdc", "not available")
    assert files_in(tmp_path) == {"x.wav", "x.ecdc", "empty"}


def test_language_model_that_is_not_here(encodec: Command, wav: Path, tmp_path: Path) -> None:
    without = tmp_path / "without"
    without.mkdir()
    for path in encodec.weights.glob("encodec_24khz-*"):
        (without / path.name).symlink_to(path)
    refused(encodec("--lm", wav, weights=without), "language model")
    encodec("--lm", wav)
    refused(encodec(tmp_path / "x.ecdc", weights=without), "language model")
    assert files_in(tmp_path) == {"x.wav", "x.ecdc", "without"}


def test_header_that_names_no_language_model(encodec: Command, wav: Path, tmp_path: Path) -> None:
    """Which one would have to be guessed, and a wrong guess is noise."""
    (weights,) = encodec.weights.glob("encodec_24khz-*")
    header = Header(f"encodec_24khz:{weights.stem.rsplit('-', 1)[1]}", 320, 2, lm=False)
    data = header.to_bytes().replace(b"false", b"true ")
    (tmp_path / "y.ecdc").write_bytes(data + bytes(100))
    refused(encodec(tmp_path / "y.ecdc"), "language model")


def _nothing(path: Path) -> None:
    path.write_bytes(b"")


def _text(path: Path) -> None:
    path.write_text("no audio at all\n" * 100)


def _no_samples(path: Path) -> None:
    path.write_bytes(wav_header(24_000, 1, 0))


def _nan(path: Path) -> None:
    data = np.full(2400, np.nan, "<f4").tobytes()
    fmt = struct.pack("<4sIHHIIHH", b"fmt ", 16, 3, 1, 24_000, 96_000, 4, 32)
    body = b"WAVE" + fmt + struct.pack("<4sI", b"data", len(data)) + data
    path.write_bytes(struct.pack("<4sI", b"RIFF", len(body)) + body)


def _cut(path: Path) -> None:
    write_wav(path, seconds=2)
    path.write_bytes(path.read_bytes()[:60_001])


@pytest.mark.parametrize("make", [_nothing, _text, _no_samples, _nan, _cut])
@pytest.mark.parametrize("target", ["y.ecdc", "y.wav"])
def test_audio_that_is_none(
    encodec: Command, tmp_path: Path, make: Callable[[Path], None], target: str
) -> None:
    make(tmp_path / "x.wav")
    refused(encodec(tmp_path / "x.wav", tmp_path / target), "x.wav")
    assert files_in(tmp_path) == {"x.wav"}


@pytest.mark.parametrize("rescale", [[], ["-r"]])
def test_broken_ecdc(encodec: Command, tmp_path: Path, rescale: list[str]) -> None:
    source = tmp_path / "x.ecdc"
    encodec(write_wav(tmp_path / "x.wav", seconds=2.5))
    whole = source.read_bytes()
    for data in (b"", whole[:3], whole[:20], whole[:-1], b"RIFF" + whole[4:], whole[:4] + b"\x01"):
        source.write_bytes(data)
        refused(encodec(source, *rescale), "x.ecdc")
        assert files_in(tmp_path) == {"x.wav", "x.ecdc"}


def test_failure_keeps_what_was_there(encodec: Command, tmp_path: Path) -> None:
    _cut(tmp_path / "x.wav")
    (tmp_path / "x.ecdc").write_bytes(b"precious")
    refused(encodec("-f", tmp_path / "x.wav"))
    assert files_in(tmp_path) == {"x.wav", "x.ecdc"}
    assert (tmp_path / "x.ecdc").read_bytes() == b"precious"


def test_samples_that_are_not_finite(encodec: Command, tmp_path: Path, loud_weights: Path) -> None:
    encodec(write_wav(tmp_path / "x.wav"), "--hq", weights=loud_weights)
    data = bytearray((tmp_path / "x.ecdc").read_bytes())
    start = 9 + int.from_bytes(data[5:9], "big")
    data[start : start + 4] = struct.pack("!f", 3e38)
    (tmp_path / "x.ecdc").write_bytes(data)
    refused(encodec(tmp_path / "x.ecdc", weights=loud_weights), "not finite")
    assert files_in(tmp_path) == {"x.wav", "x.ecdc"}
