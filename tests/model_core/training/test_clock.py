"""A run ends when its time is over or a signal comes, never in the middle of a step."""

import os
import signal
import subprocess
import sys
import time
import wave
from pathlib import Path

import pytest
import torch

from model_core.training.clock import RunClock
from model_core.training.state import STATE, load_state
from tests.peers import signal as sound

CPU = torch.device("cpu")


def test_time_adds_up_over_starts() -> None:
    with RunClock(100.0, None, CPU) as clock:
        clock.tick()
        assert 100 <= clock.spent < 110
        assert not clock.over


def test_it_is_over_after_its_time() -> None:
    with RunClock(0.0, 0.02, CPU) as clock:
        clock.tick()
        time.sleep(0.03)
        before = clock.over
        clock.tick()
        assert (before, clock.over) == (False, True)  # until the next tick, and from it on
        assert not clock.interrupted


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_it_and_a_second_one_is_as_before(number: int) -> None:
    heard: list[int] = []
    before = signal.signal(number, lambda n, _: heard.append(n))
    try:
        with RunClock(5.0, None, CPU) as clock:
            clock.tick()
            os.kill(os.getpid(), number)
            clock.tick()
            assert clock.over
            assert clock.interrupted
            assert 5 <= clock.spent < 15
            assert heard == []
            os.kill(os.getpid(), number)
            assert heard == [number]
    finally:
        signal.signal(number, before)


def test_a_terminated_run_has_saved_its_last_step(tmp_path: Path) -> None:
    folder, run = tmp_path / "mine", tmp_path / "run"
    folder.mkdir()
    for name in ("a", "b"):
        with wave.open(str(folder / f"{name}.wav"), "wb") as file:
            file.setnchannels(1)
            file.setsampwidth(2)
            file.setframerate(24_000)
            file.writeframes((sound(1, 48_000, 24_000) * 32767).numpy().astype("<i2").tobytes())
    words = f"codec {folder} {run} --n-filters 2 --batch 1 --clip-seconds 0.1 --log-every 1"
    words += " --quantise-from 1 --adversarial-weight 0 --device cpu --threads 1"
    process = subprocess.Popen(
        [sys.executable, "-m", "model_core.training", *words.split()], stderr=subprocess.PIPE
    )
    log = run / "log.jsonl"
    for _ in range(2000):
        if log.exists() and len(log.read_text().splitlines()) >= 3:
            break
        time.sleep(0.1)
    process.terminate()
    _, said = process.communicate(timeout=120)
    assert process.returncode == 0
    assert b"can go on" in said
    assert load_state(run / STATE)["step"] == len(log.read_text().splitlines()) >= 3
