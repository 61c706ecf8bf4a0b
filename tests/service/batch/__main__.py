"""The long form: `python -m tests.service.batch [--short 2000] [--long 3] [--processes]`.

A Ray cluster of two nodes on this machine compresses so many short files and recordings of an
hour, one of the short ones corrupt. A writer is killed between write and rename, and half-way a
node; with `--processes` there is no cluster, and half-way a worker process is killed. Then every
output must be there once, with the bytes that `encodec` makes (of one of the hours), the corrupt
file be reported, and a second run do nothing but try that one again. Ends with 1 where something
did not hold.
"""

import argparse
import contextlib
import os
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np

from model_core.audio.files import write_whole
from tests.faults.watch import descendants
from tests.service.batch.batch import ENCODEC, Batch, files
from tests.service.batch.conftest import build_crash
from tests.service.sounds import sound

RATE = 24_000


def make(folder: Path, short: int, long: int) -> None:
    """FLAC files: of half a second to one and a half, and of an hour with little in it."""
    for number in range(short):
        path = folder / f"{number % 20:02}" / f"{number:04}.flac"
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(sound(1, 0.5 + number % 11 / 10, RATE, number), path, RATE, rescale=False)
    (folder / "00/corrupt.flac").write_bytes((folder / "00/0000.flac").read_bytes()[:3000])
    for number in range(long):
        samples = np.zeros((1, 3600 * RATE), np.float32)
        for start in range(0, 3600, 60):  # a second of sound in each minute
            here = slice(start * RATE, (start + 1) * RATE)
            samples[:, here] = sound(1, 1, RATE, start + number)
        write_whole(samples, folder / f"hour{number}.flac", RATE, rescale=False)


class Cluster:
    """Two nodes of one CPU each; the processes of both have `environment`."""

    def __init__(self, environment: dict[str, str]):
        import ray.cluster_utils

        self._environment = environment
        with self._environed():
            self._cluster = ray.cluster_utils.Cluster(
                initialize_head=True, head_node_args={"num_cpus": 1, "include_dashboard": False}
            )
        self._node: Any = None
        self.complete()
        self.flag = f"--ray={self._cluster.address}"

    def complete(self) -> None:
        """There is a second node, again perhaps."""
        if self._node is None:
            with self._environed():
                self._node = self._cluster.add_node(num_cpus=1)
                self._cluster.wait_for_nodes()

    def kill_node(self) -> None:
        """The one that is not the head, without a farewell."""
        self._cluster.remove_node(self._node, allow_graceful=False)
        self._node = None

    @contextlib.contextmanager
    def _environed(self) -> Iterator[None]:
        before = dict(os.environ)
        os.environ |= self._environment  # Ray replaces LD_PRELOAD unless it finds one here
        try:
            yield
        finally:
            os.environ.clear()
            os.environ |= before

    def close(self) -> None:
        self._cluster.shutdown()


def kill_worker(pid: int) -> None:
    """One of the command's."""
    for child in descendants(pid):
        if b"spawn_main" in Path(f"/proc/{child}/cmdline").read_bytes():
            os.kill(child, signal.SIGKILL)
            return


def outputs(folder: Path) -> set[str]:
    return {str(path.relative_to(folder)) for path in folder.rglob("*.ecdc")}


def main() -> int:
    parser = argparse.ArgumentParser("python -m tests.service.batch", description=__doc__)
    parser.add_argument("--short", type=int, default=2000)
    parser.add_argument("--long", type=int, default=3)
    parser.add_argument("--processes", action="store_true")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="encodec-batch-") as name:
        return check(Path(name), given.short, given.long, given.processes)


def check(folder: Path, short: int, long: int, processes: bool) -> int:
    source, out = folder / "in", folder / "out"
    source.mkdir()
    make(source, short, long)
    wanted = {str(path.relative_to(source).with_suffix(".ecdc")) for path in source.rglob("*.flac")}
    wanted.remove("00/corrupt.ecdc")
    crash = {
        "LD_PRELOAD": build_crash(folder),
        "CRASH_NAME": "/10/",
        "CRASH_ONCE": str(folder / "crashed"),
        "RAY_LD_PRELOAD_ON_WORKERS": "1",
    }
    crash["RAY_USAGE_STATS_ENABLED"] = os.environ["RAY_USAGE_STATS_ENABLED"] = "0"
    batch = Batch(folder, Path("bundled"))
    cluster = None if processes else Cluster(crash)
    try:
        command = batch.command(source, out, *([] if cluster is None else [cluster.flag]))
        began = time.monotonic()
        environment = batch.environment | (crash if cluster is None else {})
        with subprocess.Popen(command, env=environment) as run:
            while len(outputs(out)) < short // 2:
                if run.poll() is not None:
                    print("WRONG: it ended before it was half done")
                    return 1
                time.sleep(0.05)
            done = len(outputs(out))
            if cluster is None:
                kill_worker(run.pid)
            else:
                cluster.kill_node()
            print(f"{'a worker' if cluster is None else 'a node'} killed after {done} outputs")
        print(f"first run: {time.monotonic() - began:.0f} s")
        wrong = after_first_run(batch, run.returncode, source, out, wanted, folder / "crashed")
        again = [] if cluster is None else [cluster.flag]
        wrong += after_second_run(batch, source, out, wanted, again)
    finally:
        if cluster is not None:
            cluster.close()
    wrong += compare(batch, source, out, wanted, folder / "reference")
    for line in wrong[:20]:
        print("WRONG:", line)
    if not wrong:
        print(f"all of {len(wanted)} outputs there once, with the bytes of encodec")
    return 1 if wrong else 0


def after_first_run(
    batch: Batch, code: int, source: Path, out: Path, wanted: set[str], crashed: Path
) -> list[str]:
    wrong = [] if code == 1 else [f"exit code {code}"]
    report = batch.report()
    paths = Counter(line["path"] for line in report)
    expected = {str(path) for path in source.rglob("*.flac")}
    if set(paths) != expected or max(paths.values()) > 1:
        wrong.append("the report does not have each input once")
    failed = [line for line in report if line["outcome"] == "failed"]
    if [line["path"] for line in failed] != [str(source / "00/corrupt.flac")]:
        wrong.append(f"failed: {failed[:5]}")
    if outputs(out) != wanted:
        wrong.append(f"outputs missing: {wanted - outputs(out)}, too many: {outputs(out) - wanted}")
    if not crashed.exists():
        wrong.append("no writer has crashed")
    left = [path for path in files(out) if path.endswith(".part")]
    print(f"{len(left)} temporary files left by dead writers")
    if not left:
        wrong.append("no temporary file of a crashed writer")
    return wrong


def after_second_run(
    batch: Batch, source: Path, out: Path, wanted: set[str], flags: list[str]
) -> list[str]:
    before = {name: (out / name).stat().st_mtime_ns for name in wanted & outputs(out)}
    run = batch.process(source, out, *flags)
    print("second run:", dict(run.count))
    wrong = []
    if run.count != {"skipped": len(wanted), "failed": 1}:
        wrong.append(f"the second run: {run.count}")
    if {str(name) for name in files(out)} != wanted:
        wrong.append("temporary files are left after the second run")
    if {name: (out / name).stat().st_mtime_ns for name in before} != before:
        wrong.append("the second run has written something")
    return wrong


def compare(batch: Batch, source: Path, out: Path, wanted: set[str], reference: Path) -> list[str]:
    """With what the command `encodec` makes of all short files and one long one."""
    hours = sorted(source.glob("hour*.flac"))
    inputs = [str(path) for path in sorted(source.iterdir()) if path.is_dir()]
    command = [*ENCODEC, "--format", "1", "-o", str(reference), *map(str, hours[:1])]
    subprocess.run(command, env=batch.environment, check=True, stderr=subprocess.DEVNULL)
    for folder in inputs:
        command = [*ENCODEC, "--format", "1", "-o", str(reference / Path(folder).name), folder]
        subprocess.run(command, env=batch.environment, check=False, stderr=subprocess.DEVNULL)
    compared = outputs(reference)
    print(f"{len(compared)} outputs compared with those of encodec")
    wrong = [
        f"other bytes: {name}"
        for name in sorted(compared)
        if (reference / name).read_bytes() != (out / name).read_bytes()
    ]
    if len(compared) != len(wanted) - max(0, len(hours) - 1):
        wrong.append("encodec has not made all that were to be compared")
    return wrong


if __name__ == "__main__":
    sys.exit(main())
