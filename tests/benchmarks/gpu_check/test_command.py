"""`gpu_check.sh` on the CPU with tiny networks: its stages, their time limits, its table."""

import os
import subprocess
import sys
import time
from importlib import import_module
from pathlib import Path

import pytest

from benchmarks.gpu_check import runner
from benchmarks.gpu_check.check import Check
from benchmarks.gpu_check.command import main
from benchmarks.gpu_check.pack import ROOT
from benchmarks.gpu_check.report import Report, read_rows
from benchmarks.gpu_check.stages import NAMES, Stage

SCRIPT = ROOT / "scripts" / "gpu_check.sh"


NEED_CUDA = ("faults", "layers", "compiled")


def check(folder: Path, *arguments: str) -> "subprocess.CompletedProcess[str]":
    """Run the script, on one thread: several on a busy machine would wait for each other."""
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    return subprocess.run(
        ["bash", str(SCRIPT), "--device", "cpu", "--quick", "--out", str(folder), *arguments],
        capture_output=True,
        text=True,
        env=environment,
        check=False,
    )


def test_a_run_by_the_script_and_its_table(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    stages = ["versions", "queue"]
    done = check(tmp_path, "--stages", ",".join(stages))
    rows = read_rows(tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    assert {row.stage for row in rows} == set(stages)
    assert {row.outcome for row in rows} == {"done", "skipped"}
    skipped = [row for row in rows if row.outcome == "skipped"]
    assert [(row.stage, row.figure) for row in skipped] == [("versions", "needs CUDA")]
    table = (tmp_path / runner.TABLE).read_text()
    assert done.stdout.endswith(table)
    assert "streams of 4 s" in table
    assert (tmp_path / runner.LOG).stat().st_size > 0
    assert main(["table", str(tmp_path)]) == 0
    assert capsys.readouterr().out == table


@pytest.mark.usefixtures("one_thread")
@pytest.mark.parametrize(
    "name", [name for name in NAMES if name not in ("versions", "queue", "tests", *NEED_CUDA)]
)
def test_each_other_stage_is_done(
    tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """As the run calls it, but in this process: that spares it the imports."""
    monkeypatch.setenv("OMP_NUM_THREADS", "1")  # for what a stage starts
    given = ["--device", "cpu", "--quick", "--out", str(tmp_path), "--end", str(time.time() + 120)]
    assert main(["stage", name, *given]) == 0
    rows = read_rows(tmp_path)
    assert {(row.stage, row.outcome) for row in rows} == {(name, "done")}


@pytest.mark.parametrize("name", NEED_CUDA)
def test_stages_that_need_cuda_are_skipped_with_that_reason(tmp_path: Path, name: str) -> None:
    stage = import_module(f"benchmarks.gpu_check.{name}")
    stage.run(Check("cpu", quick=True), Report(name, tmp_path, 60))
    rows = read_rows(tmp_path)
    assert rows
    assert {(row.outcome, row.figure) for row in rows} == {("skipped", "needs CUDA")}


def test_a_stage_is_killed_at_its_limit_and_the_next_one_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The first two have too little time even for their imports."""
    monkeypatch.setattr(runner, "SHORTEST", 0.1)
    stages = [
        Stage("profile", "ended", 0.3, 0.1),
        Stage("speed", "ended, too", 0.3, 0.1, optional=True),
        Stage("layers", "goes on", 60, 20),
    ]
    done = runner.run(stages, tmp_path, 60, ["--device", "cpu", "--quick"])
    rows = read_rows(tmp_path)
    assert not done
    assert [(row.stage, row.outcome) for row in rows] == [
        ("profile", "failed"),
        ("speed", "skipped"),
        ("layers", "skipped"),
    ]
    assert "was ended after" in rows[0].figure
    assert "was ended after" in rows[1].figure


def test_sigterm_ends_the_run_with_the_table_so_far(tmp_path: Path) -> None:
    environment = os.environ | {"PYTHON": sys.executable, "OMP_NUM_THREADS": "1"}
    running = subprocess.Popen(
        ["bash", str(SCRIPT), "--device", "cpu", "--quick", "--out", str(tmp_path)],
        stdout=subprocess.PIPE,
        text=True,
        env=environment,
    )
    try:
        end = time.monotonic() + 120
        while not read_rows(tmp_path):
            assert time.monotonic() < end
            assert running.poll() is None
            time.sleep(0.1)
        running.terminate()
        output, _ = running.communicate(timeout=60)
    finally:
        running.kill()
    assert running.returncode == 1
    assert "was told to stop" in output
    assert output.endswith((tmp_path / runner.TABLE).read_text())


def test_a_missing_device_fails_the_run(tmp_path: Path) -> None:
    done = check(tmp_path, "--device", "cuda:7", "--stages", "profile")
    assert done.returncode == 1
    assert "FAILED" in done.stdout
    assert {row.outcome for row in read_rows(tmp_path)} == {"failed"}


def test_unknown_stages_are_refused(tmp_path: Path) -> None:
    done = check(tmp_path, "--stages", "nothing")
    assert done.returncode == 2
    assert "no stage nothing" in done.stderr
