"""`-` for stdin and stdout, named pipes, and files that appear whole or not at all."""

import errno
import os
import subprocess
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from .conftest import (
    PROGRAM,
    Command,
    files_in,
    refused,
    samples_of,
    write_wav,
)


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


def test_through_pipes(encodec: Command, wav: Path, environment: dict[str, str]) -> None:
    """One process feeds the other; the bytes are those of the command in this process."""
    with (
        subprocess.Popen(
            [*PROGRAM, "-b", "3", "-"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        ) as compressing,
        subprocess.Popen(
            [*PROGRAM, "-"],
            stdin=compressing.stdout,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            env=environment,
        ) as decompressing,
    ):
        assert compressing.stdin is not None
        assert compressing.stdout is not None
        assert compressing.stderr is not None
        compressing.stdout.close()
        compressing.stdin.write(wav.read_bytes())
        compressing.stdin.close()
        out, err = decompressing.communicate()
        assert compressing.stderr.read() == err == b""
    assert compressing.returncode == decompressing.returncode == 0
    assert len(samples_of(out)[0]) == 9600
    assert out == encodec("-", stdin=encodec("-b", "3", wav, "-").out).out


def test_reader_that_goes_away(
    encodec: Command, tmp_path: Path, environment: dict[str, str]
) -> None:
    encodec(write_wav(tmp_path / "x.wav", seconds=8))
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as out:
        done = subprocess.run(
            [*PROGRAM, str(tmp_path / "x.ecdc"), "-"],
            stdout=out,
            stderr=subprocess.PIPE,
            env=environment,
            check=False,
        )
    assert done.returncode == 1
    assert len(done.stderr.splitlines()) == 1


def test_full_disk(wav: Path, environment: dict[str, str]) -> None:
    with Path("/dev/full").open("wb") as out:
        done = subprocess.run(
            [*PROGRAM, str(wav), "-"],
            stdout=out,
            stderr=subprocess.PIPE,
            env=environment,
            check=False,
        )
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"encodec: {wav}: No space left on device".encode()]


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
