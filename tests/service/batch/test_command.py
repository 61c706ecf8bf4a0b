"""`encodec-batch` from end to end, on processes."""

import contextlib
import os
import shutil
import signal
import subprocess
import time
from pathlib import Path

import pytest

from benchmarks.replicas.processes import family
from model_core.audio import wav_header
from tests.faults.watch import descendants
from tests.service.batch.batch import ALONE, GOOD, Batch, Run, files
from tests.service.batch.conftest import Coded
from tests.service.live import wait_for
from tests.service.sounds import wav


def ecdc(*names: str) -> set[str]:
    return {f"{name}.ecdc" for name in names}


def expect_all_but_the_corrupt(run: Run) -> None:
    assert run.code == 1
    assert run.count == {"done": 5, "failed": 1}
    failed = run.one("failed")
    assert failed["path"].endswith("corrupt.flac")
    assert failed["reason"]
    assert failed["reason"] in run.err


@pytest.mark.parametrize(
    "options",
    [
        ("--format", "1"),  # of two workers
        ("--format", "0", "--effort", "1"),
        ("--format", "1", "--lm", "--verify", "-b", "3"),
        ("--format", "1", "--hq", "-b", "12"),
    ],
    ids=" ".join,
)
def test_bytes_are_those_of_encodec(
    batch: Batch, source: Path, tmp_path: Path, options: tuple[str, ...]
) -> None:
    workers = ALONE if options[2:] else ()
    run = batch(source, tmp_path / "out", *options, *workers)
    expect_all_but_the_corrupt(run)
    batch.encodec("-o", tmp_path / "reference", *options, source)
    assert files(tmp_path / "out") == files(tmp_path / "reference")
    assert set(files(tmp_path / "out")) == ecdc(*GOOD)


def test_a_second_run_does_what_is_missing(
    batch: Batch, source: Path, tmp_path: Path, coded: Coded
) -> None:
    out = tmp_path / "out"
    shutil.copytree(coded.folder, out)
    first = files(out)
    stamps = {name: (out / name).stat().st_mtime_ns for name in first}
    run = batch(source, out)
    assert run.count == {"skipped": 5, "failed": 1}
    assert {name: (out / name).stat().st_mtime_ns for name in first} == stamps
    (out / "one/b.ecdc").unlink()
    run = batch(source, out, *ALONE)
    assert run.one("done")["target"] == "one/b.ecdc"
    assert files(out) == first
    run = batch(source, out, "--overwrite", *ALONE)
    assert run.count == {"done": 5, "failed": 1}
    assert files(out) == first


def test_back_to_audio(batch: Batch, tmp_path: Path, coded: Coded) -> None:
    options = ("--rescale", "--sample-rate", "original", "--channels", "original")
    run = batch(coded.folder, tmp_path / "audio", "--output", "flac", *options, *ALONE)
    assert (run.code, run.count) == (0, {"done": 5})
    for name in GOOD:
        reference = tmp_path / "reference.flac"
        batch.encodec("-f", *options, coded.folder / f"{name}.ecdc", reference)
        assert (tmp_path / f"audio/{name}.flac").read_bytes() == reference.read_bytes()


def test_the_report_says_what_became_of_each(source: Path, coded: Coded) -> None:
    run = coded.run
    (line,) = [line for line in run.report if line["target"] == "one/two/d.ecdc"]
    assert line["path"] == str(source / "one/two/d.WAV")
    assert line["outcome"] == "done"
    assert line["duration"] == pytest.approx(1.1)
    assert line["seconds"] > 0
    assert "5 done, 1 failed, 0 skipped" in run.err.splitlines()[-1]


def test_outputs_that_would_be_the_same(batch: Batch, tmp_path: Path) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    (folder / "x.wav").write_bytes(wav(0.2))
    (folder / "x.aiff").write_bytes(wav(0.3))
    run = batch(folder, tmp_path / "out")
    assert run.code == 1
    assert run.one("failed")["path"] == str(folder / "x.wav")
    assert run.one("failed")["reason"] == f"its output x.ecdc is already that of {folder}/x.aiff"


@pytest.mark.parametrize(
    ("arguments", "code", "words"),
    [
        ((), 2, "required"),
        (("/nowhere/at/all", "out"), 1, "no such file or folder"),
        (("", "out"), 2, "a name is empty"),
        ((".", ""), 2, "a name is empty"),
        (("--hq", "-b", "1.5", ".", "out"), 2, "has no bandwidth"),
        (("--columns", "colour", ".", "out.parquet"), 2, "none of codes, scale"),
        (("--weights", "/nowhere", ".", "out"), 1, "/nowhere"),
        (("--device", "abacus", ".", "out"), 1, "abacus"),
    ],
)
def test_wrong_usage(
    batch: Batch,
    source: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    code: int,
    words: str,
) -> None:
    given = [str(source) if word == "." else word for word in arguments]
    given = [str(tmp_path / word) if word.startswith("out") else word for word in given]
    run = batch(*given)
    assert run.code == code
    assert words in run.err
    assert "Traceback" not in run.err


def test_a_worker_that_dies_is_replaced(batch: Batch, source: Path, tmp_path: Path) -> None:
    """Killed while it works on long files; what it did is done again."""
    folder = tmp_path / "in"
    folder.mkdir()
    for number in range(4):
        (folder / f"long{number}.wav").write_bytes(wav(50, seed=number))
    command = batch.command(folder, tmp_path / "out")
    with subprocess.Popen(command, env=batch.environment, stderr=subprocess.PIPE, text=True) as run:
        wait_for(lambda: list((tmp_path / "out").glob(".*.part")), 60)
        os.kill(_workers(run.pid)[0], signal.SIGKILL)
        _, err = run.communicate(timeout=100)
    assert run.returncode == 0, err
    assert "signal SIGKILL; others do its work again" in err
    assert [line["outcome"] for line in batch.report()] == 4 * ["done"]
    batch.encodec("--format", "1", "-o", tmp_path / "reference", folder)
    batch(folder, tmp_path / "out")  # removes what the dead one has left
    assert files(tmp_path / "out") == files(tmp_path / "reference")


def test_a_writer_that_dies_between_write_and_rename(
    batch: Batch, source: Path, tmp_path: Path, crash: str
) -> None:
    once = tmp_path / "crashed"
    run = batch.process(
        source,
        tmp_path / "out",
        *ALONE,
        LD_PRELOAD=crash,
        CRASH_NAME="one/b.ecdc",
        CRASH_ONCE=str(once),
    )
    assert once.exists()
    expect_all_but_the_corrupt(run)
    found = files(tmp_path / "out")
    left = set(found) - ecdc(*GOOD)  # of what the dead one did beside it, too
    assert all(Path(name).name.startswith(".encodec-batch-") for name in left)
    assert found["one/b.ecdc"] in [found[name] for name in left]
    assert batch(source, tmp_path / "out").count == {"skipped": 5, "failed": 1}
    assert set(files(tmp_path / "out")) == ecdc(*GOOD)


def test_an_input_that_kills_every_worker_fails_alone(
    batch: Batch, source: Path, tmp_path: Path, crash: str
) -> None:
    crashing = {"LD_PRELOAD": crash, "CRASH_NAME": "one/c.ecdc"}
    run = batch.process(source, tmp_path / "out", *ALONE, **crashing)
    assert run.code == 1
    assert run.count == {"done": 4, "failed": 2}
    (line,) = [line for line in run.report if line["path"].endswith("c.mp3")]
    assert "3 workers were lost" in line["reason"]
    found = {name for name in files(tmp_path / "out") if not name.endswith(".part")}
    assert found == ecdc(*GOOD) - {"one/c.ecdc"}


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 128 + signal.SIGTERM)]
)
def test_a_signal_ends_it_without_a_trace(
    batch: Batch, tmp_path: Path, number: signal.Signals, code: int
) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    for seed in range(2):
        (folder / f"{seed}.wav").write_bytes(wav(100, seed=seed))
    run = subprocess.Popen(
        batch.command(folder, out),
        env=batch.environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
        preexec_fn=_hears_signals,
    )
    with run:
        wait_for(lambda: list(out.glob(".*.part")), 60)
        workers = descendants(run.pid)
        os.killpg(run.pid, number)  # as a terminal does
        _, err = run.communicate(timeout=60)
    assert run.returncode == code, err
    assert files(out) == {}
    assert "Traceback" not in err
    assert "the same command goes on from here" in err
    wait_for(lambda: not any(_runs(pid) for pid in workers))
    assert batch(folder, out, *ALONE).count == {"done": 2}


def test_workers_end_with_a_command_that_is_killed(batch: Batch, tmp_path: Path) -> None:
    folder, out = tmp_path / "in", tmp_path / "out"
    folder.mkdir()
    (folder / "x.wav").write_bytes(wav(200))
    with subprocess.Popen(batch.command(folder, out), env=batch.environment) as run:
        wait_for(lambda: list(out.glob(".*.part")), 60)
        workers = descendants(run.pid)
        assert len(workers) > 1
        run.kill()
    wait_for(lambda: not any(_runs(pid) for pid in workers))


def _workers(pid: int) -> list[int]:
    """The processes that `multiprocessing` has spawned."""
    found = []
    for child in descendants(pid):
        with contextlib.suppress(OSError):
            if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
                found.append(child)
    return found


def _runs(pid: int) -> bool:
    with contextlib.suppress(OSError):
        return " Z " not in Path(f"/proc/{pid}/stat").read_text()
    return False


def _hears_signals() -> None:
    """Even where the tests run in the background of a shell, which ignores them."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_DFL)


def test_a_long_file_needs_little_memory(batch: Batch, tmp_path: Path) -> None:
    """Of workers: no more for half an hour than for half a minute, but for what varies."""
    folder = tmp_path / "in"
    folder.mkdir()
    peaks = []
    for seconds in (30, 1800):
        (folder / "x.wav").write_bytes(_silence(seconds))
        options = ("-b", "1.5")  # most of the time goes into codes
        command = batch.command(folder, tmp_path / f"out{seconds}", *options, *ALONE)
        with subprocess.Popen(command, env=batch.environment) as run:
            peak = 0
            while run.poll() is None:
                peak = max([peak, *(_memory(pid) for pid in family(run.pid)[1:])])
                time.sleep(0.05)
        assert run.returncode == 0
        peaks.append(peak)
    assert peaks[1] < peaks[0] + 30e6


def _memory(pid: int) -> int:
    """Bytes that are resident and no file's."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
        return (int(resident) - int(shared)) * os.sysconf("SC_PAGE_SIZE")
    return 0


def _silence(seconds: int) -> bytes:
    return wav_header(24_000, 1, seconds * 24_000) + bytes(2 * seconds * 24_000)
