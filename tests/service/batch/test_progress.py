"""What is said of the progress."""

import io

import pytest

from service.batch.progress import Progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The clock of the progress alone, moved by hand: event loops in other threads go by the real
    one."""
    now = [100.0]
    monkeypatch.setattr("service.batch.progress.monotonic", lambda: now[0])
    return now


def test_a_line_now_and_then(clock: list[float], capsys: pytest.CaptureFixture[str]) -> None:
    progress = Progress(jobs=2000, size=4000)
    clock[0] += 29
    progress.show(10.0)
    assert capsys.readouterr().err == ""
    clock[0] += 11
    progress.done(1000, 3600.0)
    progress.show(10.0)  # of workers that have not told of the rest yet
    line = "encodec-batch: 1/2,000 done, 0.025 audio hours/s (90 x real time), 02:00 left\n"
    assert capsys.readouterr().err == line
    progress.show(7200.0)
    assert capsys.readouterr().err == ""
    clock[0] += 40
    progress.show(7200.0)
    assert "90 x real time), 01:20 left" in capsys.readouterr().err


def test_a_bar_on_a_terminal(clock: list[float], monkeypatch: pytest.MonkeyPatch) -> None:
    terminal = Terminal()
    monkeypatch.setattr("sys.stderr", terminal)
    monkeypatch.setenv("NO_COLOR", "1")
    progress = Progress(jobs=4, size=400)
    clock[0] += 10
    progress.done(100, 36.0)
    progress.show(36.0)
    progress.say("x.wav: broken")
    progress.close()
    shown = [text.strip("\n") for text in terminal.getvalue().split("\r") if text.strip()]
    assert any(
        text.startswith(" 25%|")
        and text.endswith("| 1/4, 0.001 audio hours/s (3.6 x real time), 00:30 left")
        for text in shown
    )
    assert "encodec-batch: x.wav: broken\n" in terminal.getvalue()
    assert not terminal.getvalue().split("\r")[-1].strip()
