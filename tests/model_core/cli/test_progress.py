"""The bar on a terminal: what it says of one file and of many."""

import io
import os
import re
import subprocess
import sys
import termios
import time
from contextlib import redirect_stderr
from pathlib import Path

import pytest

from model_core.cli.progress import Advance, Progress

from .conftest import PROGRAM


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


class Clock:
    """`time.monotonic`, moved by hand."""

    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    made = Clock()
    monkeypatch.setattr("model_core.cli.progress.monotonic", made)
    return made


@pytest.fixture
def terminal(monkeypatch: pytest.MonkeyPatch) -> Terminal:
    """For stderr."""
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    return Terminal()


def advance_by_hand(advance: Advance, done: float, seconds: float) -> None:
    """At a moment when the bar is drawn again."""
    time.sleep(0.12)
    advance(done, seconds)


def bars(terminal: Terminal) -> list[str]:
    """What was shown, without colours and blocks."""
    plain = re.sub(r"\x1b\[\d*m", "", terminal.getvalue())
    found = (re.sub(r"\|.*\|", "|", bar).strip() for bar in plain.split("\r"))
    return [bar for bar in found if bar]


def test_one_file_shows_speed_and_time_left(clock: Clock, terminal: Terminal) -> None:
    with (
        redirect_stderr(terminal),
        Progress(["a/x.wav"]).showing("compressing", "a/x.wav", 1000) as advance,
    ):
        clock.now = 2.0
        advance_by_hand(advance, 250, 60.0)
    assert bars(terminal)[-1].startswith("compressing x.wav:  25%| 30 x real time, 00:06 left")


def test_many_files_show_all_of_them_by_their_sizes(
    clock: Clock, terminal: Terminal, tmp_path: Path
) -> None:
    sources = []
    for name, size in (("a", 100), ("b", 200), ("skipped", 5000), ("c", 100)):
        (tmp_path / name).write_bytes(bytes(size))
        sources.append(str(tmp_path / name))
    with redirect_stderr(terminal):
        progress = Progress(sources)
        with progress.showing("compressing", sources[0], 100) as advance:
            clock.now = 1.0
            advance_by_hand(advance, 100, 10.0)
        progress.next()
        clock.now = 7.0  # what nothing is shown of takes no time
        with progress.showing("compressing", sources[1], 10) as advance:
            clock.now = 8.0
            advance_by_hand(advance, 5, 20.0)
        progress.next()
        progress.next()
        with progress.showing("compressing", sources[3], 100) as advance:
            clock.now = 9.0
            advance_by_hand(advance, 50, 30.0)
    shown = bars(terminal)
    assert any(bar.startswith("2/4 compressing b:") and "15 x real time" in bar for bar in shown)
    assert shown[-1].startswith("4/4 compressing c:  88%| 20 x real time")


@pytest.mark.parametrize(
    ("name", "value"), [("NO_COLOR", "1"), ("TERM", "dumb")], ids=["no_color", "dumb"]
)
def test_no_colours_where_they_are_not_wanted(
    terminal: Terminal, monkeypatch: pytest.MonkeyPatch, name: str, value: str
) -> None:
    with redirect_stderr(terminal), Progress(["x"]).showing("compressing", "x", 10):
        pass
    assert "\x1b[" in terminal.getvalue()
    terminal.truncate(0)
    monkeypatch.setenv(name, value)
    with redirect_stderr(terminal), Progress(["x"]).showing("compressing", "x", 10):
        pass
    assert "compressing x" in terminal.getvalue()
    assert "\x1b[" not in terminal.getvalue()


def test_quiet_without_a_terminal(monkeypatch: pytest.MonkeyPatch) -> None:
    for stream in (io.StringIO(), None):
        monkeypatch.setattr(sys, "stderr", stream)
        with Progress(["x", "y"]).showing("compressing", "x", 10) as advance:
            advance(5, 1.0)
        assert stream is None or stream.getvalue() == ""


def on_a_terminal(*argv: str, environment: dict[str, str]) -> str:
    """What a command shows, its exit code being 0."""
    ours, theirs = os.openpty()
    termios.tcsetwinsize(theirs, (24, 80))
    process = subprocess.Popen(argv, stdout=theirs, stderr=theirs, env=environment)
    os.close(theirs)
    shown = b""
    try:
        while part := os.read(ours, 4096):
            shown += part
    except OSError:  # how a terminal whose other side is closed ends
        pass
    os.close(ours)
    assert process.wait() == 0
    return shown.decode()


def test_progress_on_a_terminal(wav: Path, environment: dict[str, str]) -> None:
    """And only there: other tests see an empty stderr."""
    shown = on_a_terminal(*PROGRAM, str(wav), environment=environment)
    assert "compressing x.wav" in shown


def test_info_is_coloured_on_a_terminal_alone(wav: Path, environment: dict[str, str]) -> None:
    environment = {**environment, "TERM": "xterm"}
    environment.pop("NO_COLOR", None)
    subprocess.run([*PROGRAM, str(wav)], env=environment, check=True)
    command = [*PROGRAM, "--info", str(wav.with_suffix(".ecdc"))]
    assert "\x1b[32m  state" in on_a_terminal(*command, environment=environment)
    plain = on_a_terminal(*command, environment={**environment, "NO_COLOR": "1"})
    assert "\x1b" not in plain
    assert b"\x1b" not in subprocess.run(command, env=environment, capture_output=True).stdout
