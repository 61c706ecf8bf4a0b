"""The command as a process: its streams, signals and exit codes."""

import os
import signal
import subprocess
import sys
import termios
import time
from pathlib import Path

import pytest

from model_core import __version__
from model_core.engine.native import find_library

from .conftest import Command, files_in, samples_of, write_wav

PROGRAM = (sys.executable, "-m", "model_core")


@pytest.fixture
def environment(quiet_weights: Path) -> dict[str, str]:
    return {**os.environ, "ENCODEC_WEIGHTS": str(quiet_weights), "OMP_NUM_THREADS": "1"}


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


def _hears_sigint() -> None:
    """Even where the tests run in the background of a shell, which ignores it."""
    signal.signal(signal.SIGINT, signal.SIG_DFL)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_ended_in_the_middle(
    tmp_path: Path, environment: dict[str, str], number: signal.Signals, code: int
) -> None:
    """Once the hidden file shows that it has begun; the audio is too long to be done by then."""
    source = write_wav(tmp_path / "x.wav", seconds=240, rate=8000)
    with subprocess.Popen(
        [*PROGRAM, "--hq", str(source)],
        stderr=subprocess.PIPE,
        env=environment,
        preexec_fn=_hears_sigint,
    ) as process:
        while process.poll() is None and len(files_in(tmp_path)) == 1:
            time.sleep(0.01)
        process.send_signal(number)
        _, err = process.communicate()
    assert process.returncode == code
    assert b"Traceback" not in err
    assert files_in(tmp_path) == {"x.wav"}


def test_answers_without_the_networks() -> None:
    """`--help`, `--version` and wrong usage do not wait for torch."""
    script = (
        "import sys; from model_core.cli import main\n"
        "try: main(sys.argv[1:])\n"
        "finally: assert 'torch' not in sys.modules"
    )
    for argv, code, text in (
        (["--version"], 0, __version__),
        (["--help"], 0, "--decompress_suffix"),
        (["--nonsense"], 2, "usage"),
        ([], 2, "usage"),
    ):
        done = subprocess.run(
            [sys.executable, "-c", script, *argv], capture_output=True, text=True, check=False
        )
        assert done.returncode == code
        assert text in done.stdout + done.stderr
        assert "Traceback" not in done.stderr


def test_progress_on_a_terminal(wav: Path, environment: dict[str, str]) -> None:
    """And only there: other tests see an empty stderr."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen([*PROGRAM, str(wav)], stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how a terminal whose other side is closed ends
        pass
    os.close(ours)
    assert process.wait() == 0
    assert b"compressing x.wav" in shown


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


def test_help_needs_no_numpy() -> None:
    program = (
        "import sys; from model_core.cli.command import parser; parser().format_help();"
        "print({'numpy', 'av', 'torch'} & set(sys.modules))"
    )
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.stdout == "set()\n"
