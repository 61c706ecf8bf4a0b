"""Workers as processes of this machine, without the command."""

import os
import shutil
import signal
from pathlib import Path

import pytest

from model_core.codec import Coding
from service.batch.coding import Conversion
from service.batch.dispatcher import Dropped, EngineError, Event, Lost, Ready
from service.batch.plan import destination_of
from service.batch.processes import ProcessEngine
from service.batch.worker import Setup
from tests.faults.watch import descendants


def waited(engine: ProcessEngine, count: int) -> list[Event]:
    events: list[Event] = []
    while len(events) < count:
        events += engine.wait(60)
    return events


def test_a_worker_that_cannot_start_again_is_left_out(weights: Path, tmp_path: Path) -> None:
    copied = tmp_path / "weights"
    shutil.copytree(weights, copied)
    conversion = Conversion(Coding(bandwidth=6.0, format=1), None)
    setup = Setup(destination_of(str(tmp_path)), conversion, str(copied), "cpu", 1, 2)
    before = set(descendants(os.getpid()))
    engine = ProcessEngine(setup, ["cpu", "cpu"])
    try:
        assert {type(event) for event in waited(engine, 2)} == {Ready}
        copied.rename(tmp_path / "gone")
        first, second, *_ = [pid for pid in descendants(os.getpid()) if _works(pid, before)]
        os.kill(first, signal.SIGKILL)
        lost, dropped = waited(engine, 2)
        assert isinstance(lost, Lost)
        assert isinstance(dropped, Dropped)
        assert "cannot work on cpu" in dropped.reason
        os.kill(second, signal.SIGKILL)
        with pytest.raises(EngineError, match="weights"):
            waited(engine, 2)
    finally:
        engine.close()


def _works(pid: int, before: set[int]) -> bool:
    return pid not in before and b"spawn_main" in Path(f"/proc/{pid}/cmdline").read_bytes()
