"""Runs the stages one after another, each in its own process with a time limit."""

import contextlib
import os
import signal
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import IO

from .report import Report, read_rows
from .stages import SHORTEST, Stage, share
from .summary import summary

LOG, TABLE = "log", "table.txt"

_GRACE = 1.0  # seconds between a stage's time limit and its kill, and for the table at the end


class _StoppedError(Exception):
    """The run was told to stop."""


def run(
    stages: Sequence[Stage], folder: Path, seconds: float, arguments: Sequence[str] = ()
) -> bool:
    """Run the stages within `seconds`, write rows, log and table into `folder`, print the table.

    Returns whether something was done and nothing failed. Every stage gets `arguments`.
    """
    folder.mkdir(parents=True, exist_ok=True)
    end = time.monotonic() + seconds - _GRACE
    with (folder / LOG).open("ab") as log:
        try:
            with _stopped_by_signals():
                for number, stage in enumerate(stages):
                    limit = share(stage, stages[number + 1 :], end - time.monotonic())
                    _run_stage(stage, limit, folder, log, arguments)
        except _StoppedError:
            Report("run", folder, 0).failed("the run", "was told to stop; rows so far are kept")
    rows = read_rows(folder)
    table = summary(rows)
    (folder / TABLE).write_text(table, encoding="utf-8")
    print(table, end="", flush=True)
    outcomes = {row.outcome for row in rows}
    return "done" in outcomes and "failed" not in outcomes


def _run_stage(
    stage: Stage, limit: float, folder: Path, log: IO[bytes], arguments: Sequence[str]
) -> None:
    report = Report(stage.name, folder, limit)
    if limit < SHORTEST:
        report.skipped(stage.title, "no time left")
        return
    began = time.monotonic()
    print(f"{stage.name}: {stage.title}, at most {limit:.0f} s", end=" ", flush=True)
    log.write(f"\n=== {stage.name}, at most {limit:.0f} s\n".encode())
    log.flush()
    command = [
        sys.executable, "-m", "benchmarks.gpu_check", "stage", stage.name,
        "--out", str(folder), "--end", str(time.time() + limit - _GRACE), *arguments,
    ]  # fmt: skip
    process = subprocess.Popen(
        command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, start_new_session=True
    )
    try:
        status: int | None = process.wait(limit)
    except subprocess.TimeoutExpired:
        status = None
    finally:
        _end(process)
    if status is None:
        say = report.skipped if stage.optional else report.failed
        say("the rest", f"the stage was ended after its {limit:.0f} s; rows so far are kept")
    elif status != 0:
        report.failed("the stage", f"ended with status {status}; see the log")
    print(f"... {time.monotonic() - began:.0f} s", flush=True)


def _end(process: subprocess.Popen[bytes]) -> None:
    """End the process and all its children."""
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait()


@contextmanager
def _stopped_by_signals() -> Iterator[None]:
    """SIGTERM and Ctrl-C end the running stage; the table then has the rows so far."""

    def stop(number: int, frame: FrameType | None) -> None:
        raise _StoppedError

    before = {n: signal.signal(n, stop) for n in (signal.SIGTERM, signal.SIGINT)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
