"""Being told to stop, at any time."""

import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.faults.target import Target, post_head, wait_for
from tests.service.sounds import wav


@pytest.mark.parametrize("delay", [0.3, 0.6, 0.9, 1.2, 1.5])
def test_sigterm_while_models_load_ends_with_0(weights: Path, delay: float) -> None:
    command = [sys.executable, "-m", "service", "--port", "0", "--weights", str(weights)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        for line in process.stderr or ():
            if "listening" in line:
                break
        time.sleep(delay - 0.3)
        process.send_signal(signal.SIGTERM)
        _, rest = process.communicate(timeout=30)
    assert process.returncode == 0, rest
    assert "terminate called" not in rest


def test_ctrl_c_while_it_is_imported_ends_it_quietly(weights: Path) -> None:
    command = [sys.executable, "-m", "service", "--port", "0", "--weights", str(weights)]
    with subprocess.Popen(command, stderr=subprocess.PIPE, text=True) as process:
        maps = Path(f"/proc/{process.pid}/maps")
        wait_for(lambda: "numpy" in maps.read_text())
        process.send_signal(signal.SIGINT)
        _, said = process.communicate(timeout=30)
    assert process.returncode in (130, 0)  # 0 where it was serving already
    assert "Traceback" not in said


def test_a_second_sigint_ends_it_at_once(start: Callable[..., Target]) -> None:
    service = start("--shutdown-grace", "30")
    with service.connect(post_head("/compress", length=10**6) + wav(1.0)):
        time.sleep(0.5)
        service.process.popen.send_signal(signal.SIGINT)
        time.sleep(0.5)
        assert service.process.popen.poll() is None
        began = time.monotonic()
        service.process.popen.send_signal(signal.SIGINT)
        service.process.wait()
    assert time.monotonic() - began < 5
