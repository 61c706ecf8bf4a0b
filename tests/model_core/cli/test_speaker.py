"""`encodec play`: what reaches the sound device, and one line where there is none."""

import os
import signal
import subprocess
import sys
import threading
import time
import types
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from .conftest import PROGRAM, Command, files_in, refused, samples_of, write_wav


class PortAudioError(Exception):
    """As `sounddevice` raises it."""


class Device:
    """`sounddevice.OutputStream` that keeps what it is given."""

    def __init__(self) -> None:
        self.played: list[np.ndarray] = []
        self.calls: list[str] = []
        self.rate = 0
        self.channels = 0
        self.fails_after: int | None = None
        self.heard = threading.Event()

    def open(self, *, samplerate: int, channels: int, dtype: str, latency: str) -> "Device":
        if samplerate > 48_000:
            raise PortAudioError("Invalid sample rate [PaErrorCode -9997]")
        assert dtype == "float32"
        self.rate, self.channels = samplerate, channels
        return self

    def write(self, samples: np.ndarray) -> None:
        if self.fails_after is not None and len(self.played) >= self.fails_after:
            raise PortAudioError("Unanticipated host error [PaErrorCode -9999]\nmore of it")
        assert samples.dtype == np.float32
        assert samples.flags.c_contiguous
        self.played.append(samples.copy())
        self.heard.set()

    def start(self) -> None:
        self.calls.append("start")

    def stop(self) -> None:
        self.calls.append("stop")

    def abort(self) -> None:
        self.calls.append("abort")

    def close(self) -> None:
        self.calls.append("close")


@pytest.fixture
def device(monkeypatch: pytest.MonkeyPatch) -> Device:
    """A sound device, as the library offers it."""
    made = Device()
    library: Any = types.ModuleType("sounddevice")
    library.PortAudioError = PortAudioError
    library.OutputStream = made.open
    library.query_devices = lambda kind: {"name": "one"}
    monkeypatch.setitem(sys.modules, "sounddevice", library)
    return made


@pytest.fixture
def elsewhere(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The current folder, empty."""
    folder = tmp_path / "elsewhere"
    folder.mkdir()
    monkeypatch.chdir(folder)
    return folder


@pytest.fixture
def file(encodec: Command, tmp_path: Path) -> Path:
    """2.3 s at 24 kHz."""
    made = tmp_path / "x.ecdc"
    assert encodec(write_wav(tmp_path / "x.wav", seconds=2.3), made).code == 0
    return made


@pytest.mark.parametrize("model", [[], ["--hq"]])
def test_plays_the_samples_that_decompressing_gives(
    encodec: Command, device: Device, tmp_path: Path, elsewhere: Path, model: list[str]
) -> None:
    file = tmp_path / "x.ecdc"
    encodec(*model, write_wav(tmp_path / "x.wav", seconds=2.3, rate=48_000, channels=2), file)
    for part in ([], ["--start", "0.5", "--end", "1.25"]):
        device.played.clear()
        device.calls.clear()
        encodec("-f", *part, file, tmp_path / "y.f32")
        outcome = encodec("play", *part, file)
        assert (outcome.code, outcome.out, outcome.err) == (0, b"", "")
        wanted = np.frombuffer((tmp_path / "y.f32").read_bytes(), np.float32)
        assert np.array_equal(np.concatenate(device.played).ravel(), wanted)
        assert device.calls == ["start", "stop", "abort", "close"]
        assert (device.rate, device.channels) == ((48_000, 2) if model else (24_000, 1))
    assert files_in(elsewhere) == set()


def test_plays_at_another_rate(
    encodec: Command, device: Device, file: Path, elsewhere: Path
) -> None:
    assert encodec("play", "--sample-rate", "48000", "--channels", "2", file).code == 0
    assert (device.rate, device.channels) == (48_000, 2)
    assert sum(map(len, device.played)) == 2 * int(2.3 * 24_000)
    refused(encodec("play", "--sample-rate", "96000", file), "96000 Hz", "Invalid sample rate")


def test_plays_stdin(encodec: Command, device: Device, file: Path, elsewhere: Path) -> None:
    assert encodec("play", "-", stdin=file.read_bytes()).code == 0
    assert sum(map(len, device.played)) == int(2.3 * 24_000)
    refused(encodec("play", "-", stdin=file.with_suffix(".wav").read_bytes()), "only .ecdc")


def test_plays_all_files_of_a_folder(
    encodec: Command, device: Device, file: Path, elsewhere: Path
) -> None:
    (file.parent / "y.ecdc").write_bytes(b"no such file")
    (file.parent / "z.ecdc").write_bytes(file.read_bytes())
    outcome = encodec("play", file.parent)
    assert outcome.code == 1
    (line,) = outcome.lines
    assert "y.ecdc" in line
    assert sum(map(len, device.played)) == 2 * int(2.3 * 24_000)


def test_ctrl_c_stops_the_sound(
    encodec: Command,
    device: Device,
    file: Path,
    elsewhere: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    from model_core.cli.speaker import Speaker

    def interrupted(speaker: Speaker) -> None:
        assert device.heard.wait(10)
        raise KeyboardInterrupt

    monkeypatch.setattr(Speaker, "finish", interrupted)
    outcome = encodec("play", file)
    assert outcome.code == 130
    assert device.calls == ["start", "abort", "close"]


_SLOW_DEVICE = """
import time

class PortAudioError(Exception):
    pass

class OutputStream:
    def __init__(self, samplerate, **others):
        self.rate = samplerate
    def start(self):
        pass
    stop = abort = close = start
    def write(self, samples):
        print("playing", flush=True)
        time.sleep(len(samples) / self.rate)

def query_devices(kind):
    return {}
"""


def test_ctrl_c_stops_in_the_middle(
    encodec: Command, tmp_path: Path, elsewhere: Path, environment: dict[str, str]
) -> None:
    """In another process, whose device takes as long as the sound."""
    file = tmp_path / "long.ecdc"
    encodec(write_wav(tmp_path / "long.wav", seconds=30), file)
    (tmp_path / "sounddevice.py").write_text(_SLOW_DEVICE)
    paths = [str(tmp_path), *sys.path]
    process = subprocess.Popen(
        [*PROGRAM, "play", str(file)],
        env={**environment, "PYTHONPATH": os.pathsep.join(paths)},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
    )
    assert process.stdout is not None
    assert process.stdout.readline() == "playing\n"
    began = time.monotonic()
    process.send_signal(signal.SIGINT)
    out, err = process.communicate(timeout=20)
    assert time.monotonic() - began < 5
    assert (process.returncode, err) == (130, "encodec: interrupted\n")
    assert out.count("playing") < 100


def test_a_device_that_fails_is_one_line(
    encodec: Command, device: Device, file: Path, elsewhere: Path
) -> None:
    device.fails_after = 3
    refused(encodec("play", file), "x.ecdc", "sound device failed", "Unanticipated host error")
    assert device.calls == ["start", "abort", "close"]


def test_no_device_is_one_line(
    encodec: Command, device: Device, file: Path, elsewhere: Path
) -> None:
    def none(kind: str) -> None:
        raise PortAudioError("Error querying device -1")

    sys.modules["sounddevice"].query_devices = none  # type: ignore[attr-defined]
    refused(encodec("play", file, file), "no sound device")


def test_without_the_library_one_line_names_it(
    encodec: Command, file: Path, elsewhere: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    refused(encodec("play", file), "encodec-service[play]")


def test_the_real_library_plays_or_says_why_not(
    file: Path, elsewhere: Path, environment: dict[str, str]
) -> None:
    """Whatever this machine has: no package, no PortAudio, no device, or all of them."""
    command = [*PROGRAM, "play", "--end", "0.1", str(file)]
    done = subprocess.run(
        command, env=environment, cwd=elsewhere, capture_output=True, text=True, check=False
    )
    assert done.stdout == ""
    if done.returncode == 0:
        assert done.stderr == ""
        return
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("encodec: ")
    assert any(word in line for word in ("sounddevice", "PortAudio", "sound device"))


def test_a_file_called_play_goes_before_the_command(
    encodec: Command, device: Device, file: Path, elsewhere: Path
) -> None:
    write_wav(elsewhere / "play")
    assert encodec("play").code == 0
    assert files_in(elsewhere) == {"play", "play.ecdc"}
    assert encodec("play", "play.wav").code == 0
    assert samples_of(elsewhere / "play.wav")[1] == 24_000
    assert not device.played


def test_play_behind_two_dashes_is_a_name(
    encodec: Command, device: Device, file: Path, elsewhere: Path
) -> None:
    refused(encodec("--", "play"), "no such input file")
    assert encodec(file, "play.wav").code == 0
    assert not device.played


@pytest.mark.parametrize("options", [[], ["-o", "folder", "x"], ["--info", "x"]])
def test_wrong_usage_of_play(encodec: Command, elsewhere: Path, options: list[str]) -> None:
    assert encodec("play", *options).code == 2


def test_audio_is_not_played(encodec: Command, device: Device, file: Path, elsewhere: Path) -> None:
    refused(encodec("play", file.with_suffix(".wav")), "only .ecdc files")
