"""What must not be done is one line on stderr, exit code 1, and no change to any file."""

import errno
import struct
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from model_core.audio import wav_header
from model_core.ecdc import Header

from .conftest import Command, files_in, write_wav


def refused(outcome: object, *words: str) -> None:
    assert outcome.code == 1  # type: ignore[attr-defined]
    assert outcome.out == b""  # type: ignore[attr-defined]
    (line,) = outcome.lines  # type: ignore[attr-defined]
    assert line.startswith("encodec: ")
    for word in words:
        assert word in line


def test_no_input(encodec: Command, tmp_path: Path) -> None:
    refused(encodec(tmp_path / "none.wav"), "none.wav", "no such")
    refused(encodec(tmp_path / "none.wav", tmp_path / "y.ecdc"), "none.wav")
    assert files_in(tmp_path) == set()


def test_existing_output_needs_force(encodec: Command, wav: Path, tmp_path: Path) -> None:
    for name, source in (("x.ecdc", wav), ("y.ecdc", wav), ("y.wav", wav)):
        target = tmp_path / name
        target.write_bytes(b"precious")
        names = [source] if name == "x.ecdc" else [source, target]
        refused(encodec(*names), name, "-f")
        assert target.read_bytes() == b"precious"
    assert encodec("--force", wav).code == 0
    assert encodec("-f", wav, tmp_path / "y.wav").code == 0
    assert (tmp_path / "x.ecdc").read_bytes()[:4] == b"ECDC"
    assert (tmp_path / "y.wav").read_bytes()[:4] == b"RIFF"


def test_output_extension(encodec: Command, wav: Path, tmp_path: Path) -> None:
    refused(encodec(wav, tmp_path / "y.mp3"), "y.mp3", ".wav", ".ecdc")
    encodec(wav)
    refused(encodec(tmp_path / "x.ecdc", tmp_path / "y.ecdc"), "y.ecdc", ".wav")
    assert files_in(tmp_path) == {"x.wav", "x.ecdc"}


def test_output_folder(encodec: Command, wav: Path, tmp_path: Path) -> None:
    refused(encodec(wav, tmp_path / "none" / "y.ecdc"), "none", "does not exist")
    assert encodec("-o", wav, wav).code == 2
    (tmp_path / "y.ecdc").mkdir()
    assert encodec(wav, tmp_path / "y.ecdc").code == 2


def test_output_that_cannot_be_made_is_named(
    encodec: Command, wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """And not the hidden file that it is written to first."""
    refused(encodec(wav, "/proc/y.ecdc"), "cannot write /proc/y.ecdc")

    def refuse(path: Path, target: Path) -> None:
        raise PermissionError(errno.EACCES, "Permission denied", str(path), None, str(target))

    monkeypatch.setattr(Path, "replace", refuse)
    refused(encodec(wav), f"cannot write {tmp_path / 'x.ecdc'}: Permission denied")
    assert files_in(tmp_path) == {"x.wav"}


def test_output_that_is_the_input(encodec: Command, wav: Path, tmp_path: Path) -> None:
    before = wav.read_bytes()
    (tmp_path / "link.wav").symlink_to(wav)
    (tmp_path / "hard.wav").hardlink_to(wav)
    for name in ("x.wav", "link.wav", "hard.wav", "../" + tmp_path.name + "/x.wav"):
        refused(encodec("-f", wav, tmp_path / name), "input")
    assert wav.read_bytes() == before


def test_bandwidth_the_model_has_not(encodec: Command, wav: Path, tmp_path: Path) -> None:
    outcome = encodec("-b", "1.5", "--hq", wav)
    assert outcome.code == 2
    for word in ("1.5", "encodec_48khz", "3, 6, 12, 24"):
        assert word in outcome.lines[-1]
    assert encodec("-b", "5", wav).code == 2
    assert encodec("-b", "much", wav).code == 2
    assert files_in(tmp_path) == {"x.wav"}


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
    header = Header(f"encodec_24khz:{weights.stem.rsplit('-', 1)[1]}", 320, 2, lm=True)
    (tmp_path / "y.ecdc").write_bytes(header.to_bytes() + bytes(100))
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


def test_force_writes_through_a_link_and_keeps_permissions(
    encodec: Command, wav: Path, tmp_path: Path
) -> None:
    real, link = tmp_path / "real.ecdc", tmp_path / "link.ecdc"
    real.write_bytes(b"old")
    real.chmod(0o640)
    link.symlink_to(real)
    refused(encodec(wav, link), "-f")
    assert encodec("-f", wav, link).code == 0
    assert link.is_symlink()
    assert real.read_bytes()[:4] == b"ECDC"
    assert real.stat().st_mode & 0o777 == 0o640


def test_interrupted(
    encodec: Command, wav: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Ctrl-C in the middle of decoding."""
    from model_core.engine import NativeEngine
    from model_core.engine.torch_engine import TorchEngine

    encodec(wav)

    def interrupt(*_: object) -> None:
        raise KeyboardInterrupt

    for backend in (NativeEngine, TorchEngine):
        monkeypatch.setattr(backend, "decode", interrupt)
    outcome = encodec(tmp_path / "x.ecdc")
    assert outcome.code == 130
    assert len(outcome.lines) == 1
    assert files_in(tmp_path) == {"x.wav", "x.ecdc"}
