"""`-` for stdin and stdout, and named pipes."""

import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import Command, files_in, samples_of


@pytest.fixture
def ecdc(encodec: Command, wav: Path, tmp_path: Path) -> bytes:
    encodec(wav)
    data = (tmp_path / "x.ecdc").read_bytes()
    (tmp_path / "x.ecdc").unlink()
    return data


def test_compresses_from_stdin_to_stdout(encodec: Command, wav: Path, ecdc: bytes) -> None:
    for names in (["-"], ["-", "-"]):
        outcome = encodec(*names, stdin=wav.read_bytes())
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out == ecdc


def test_decompresses_from_stdin_to_stdout(encodec: Command, tmp_path: Path, ecdc: bytes) -> None:
    (tmp_path / "y.ecdc").write_bytes(ecdc)
    encodec(tmp_path / "y.ecdc", tmp_path / "y.wav")
    for flags in ([], ["-r"]):
        outcome = encodec("-", *flags, stdin=ecdc)
        assert (outcome.code, outcome.err) == (0, "")
        assert outcome.out == (tmp_path / "y.wav").read_bytes()
        assert len(samples_of(outcome.out)[0]) == 9600


def test_stdin_to_a_file(encodec: Command, wav: Path, tmp_path: Path, ecdc: bytes) -> None:
    assert encodec("-", tmp_path / "a.ecdc", stdin=wav.read_bytes()).out == b""
    assert (tmp_path / "a.ecdc").read_bytes() == ecdc
    encodec("-", tmp_path / "b.wav", stdin=ecdc)
    encodec("-", tmp_path / "c.wav", stdin=wav.read_bytes())
    assert (tmp_path / "b.wav").read_bytes() == (tmp_path / "c.wav").read_bytes()
    assert files_in(tmp_path) == {"x.wav", "a.ecdc", "b.wav", "c.wav"}


def test_a_file_to_stdout(encodec: Command, wav: Path, tmp_path: Path, ecdc: bytes) -> None:
    assert encodec(wav, "-").out == ecdc
    (tmp_path / "y.ecdc").write_bytes(ecdc)
    assert encodec(tmp_path / "y.ecdc", "-").out == encodec("-", stdin=ecdc).out
    assert files_in(tmp_path) == {"x.wav", "y.ecdc"}


def test_stdout_by_its_file_name(encodec: Command, wav: Path, tmp_path: Path, ecdc: bytes) -> None:
    assert encodec(wav, "/dev/stdout").out == ecdc
    assert files_in(tmp_path) == {"x.wav"}


@pytest.mark.parametrize("first", ["x.wav", "y.ecdc"])
def test_a_second_name_that_is_no_file_is_not_read(
    encodec: Command, wav: Path, tmp_path: Path, ecdc: bytes, first: str
) -> None:
    (tmp_path / "y.ecdc").write_bytes(ecdc)
    os.mkfifo(tmp_path / "pipe")
    with ThreadPoolExecutor(1) as threads:
        running = threads.submit(encodec, tmp_path / first, tmp_path / "pipe")
        try:
            outcome = running.result(timeout=20)
        finally:
            os.close(os.open(tmp_path / "pipe", os.O_RDWR | os.O_NONBLOCK))
    assert (outcome.code, len(outcome.lines)) == (1, 1)
    assert "must end in .wav" in outcome.err
    assert files_in(tmp_path) == {"x.wav", "y.ecdc", "pipe"}


def test_refusals(encodec: Command, wav: Path, tmp_path: Path, ecdc: bytes) -> None:
    for stdin, names in (
        (b"", ["-"]),
        (b"no audio " * 50, ["-"]),
        (ecdc[:-1], ["-", tmp_path / "y.wav"]),
        (ecdc, ["-", tmp_path / "y.ecdc"]),
        (wav.read_bytes(), ["-", wav]),
    ):
        outcome = encodec(*names, stdin=stdin)
        assert (outcome.code, outcome.out, len(outcome.lines)) == (1, b"", 1)
        assert "stdin" in outcome.err
    assert files_in(tmp_path) == {"x.wav"}


def test_stdin_is_no_input_among_others(encodec: Command, wav: Path, tmp_path: Path) -> None:
    assert encodec("-", wav, wav).code == 2
    assert encodec("-o", tmp_path, "-").code == 2


def test_named_pipes(encodec: Command, wav: Path, tmp_path: Path, ecdc: bytes) -> None:
    """They are read and written, never replaced."""
    source, target = tmp_path / "in.wav", tmp_path / "out.ecdc"
    os.mkfifo(source)
    os.mkfifo(target)
    with ThreadPoolExecutor(2) as threads:
        threads.submit(source.write_bytes, wav.read_bytes())
        written = threads.submit(target.read_bytes)
        outcome = encodec("-f", source, target)
        assert (outcome.code, outcome.err) == (0, "")
        assert written.result() == ecdc
    assert source.is_fifo()
    assert target.is_fifo()
