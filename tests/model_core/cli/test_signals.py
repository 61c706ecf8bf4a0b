"""Signals end a run in good order, and stderr holds only lines of the command."""

import contextlib
import io
import logging
import os
import signal
import subprocess
import sys
import time
import warnings
from pathlib import Path

import pytest

from model_core.audio.input import MediaInput
from model_core.process import ended_by_signals, quiet, raise_if_ended

from .conftest import (
    PROGRAM,
    Command,
    files_in,
    write_wav,
)


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_a_lost_signal_is_raised_again(number: signal.Signals, raised: type[BaseException]) -> None:
    """Also where the tests themselves were started with it ignored, as by nohup."""
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    try:
        with ended_by_signals():
            raise_if_ended()
            with contextlib.suppress(raised):  # as a library does that was calling back
                os.kill(os.getpid(), number)
            with pytest.raises(raised):
                raise_if_ended()
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, before)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            raise_if_ended()
    finally:
        signal.signal(signal.SIGHUP, before)


def test_only_our_own_warnings(monkeypatch: pytest.MonkeyPatch) -> None:
    err = io.StringIO()
    monkeypatch.setattr(sys, "stderr", err)
    root, ours = logging.getLogger(), logging.getLogger("model_core")
    monkeypatch.setattr(root, "handlers", [])
    before = dict(os.environ), list(ours.handlers)
    with quiet():
        warnings.warn("out of date", FutureWarning, stacklevel=1)
        logging.getLogger("some.library").error("much ado")
        logging.getLogger("model_core.checkpoints").info("a detail")
        logging.getLogger("model_core.checkpoints").warning("using other weights")
    assert err.getvalue() == "encodec: using other weights\n"
    assert (dict(os.environ), ours.handlers) == before
    assert root.handlers == []


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


@pytest.mark.parametrize("reads", [1, 3, 10])
def test_a_signal_while_ffmpeg_reads_ends_the_run_without_a_traceback(
    wav: Path, encodec: Command, tmp_path: Path, capfd: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch, reads: int,
) -> None:  # fmt: skip
    """PyAV prints what a signal raises while it calls back, and drops it."""
    write_wav(wav, seconds=20)
    left = iter(range(reads))

    def read(file: MediaInput, size: int) -> bytes:
        if next(left, None) is None:
            os.kill(os.getpid(), signal.SIGINT)
        return original(file, size)

    original = MediaInput.read
    monkeypatch.setattr(MediaInput, "read", read)
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        outcome = encodec(wav)
    finally:
        signal.signal(signal.SIGINT, before)
    assert (outcome.code, outcome.err) == (130, "encodec: interrupted\n")
    assert capfd.readouterr() == ("", "")
    assert files_in(tmp_path) == {"x.wav"}
