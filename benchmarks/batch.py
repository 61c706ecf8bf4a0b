"""`python -m benchmarks.batch`: what the engine on Ray costs beside plain processes.

The same recordings are compressed by `encodec-batch` with the same number of workers, in turns, on
processes and on a Ray cluster of one node that runs already. Other load changes how long that
takes, so the figure is processor time: of the command, its workers and their decoders. That of the
cluster's own processes is shown beside it: they run anyway, and what they use grows with the time
that a run takes and not with its work. Needs the extra `ray`.
"""

import argparse
import os
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from model_core.audio.files import write_whole

_TICK = os.sysconf("SC_CLK_TCK")
_INTERVAL = 0.1  # s between two looks at the processes
_RATE = 24_000
_FORK_SERVER = b"service.decoder.fork_server"


class ProcessorTime:
    """Of all descendants of this process, sampled: Ray's workers are waited for by nobody.

    A decoder lives for less than a sample. Its time is counted by its fork server, which waits for
    it; the decoders themselves are left out.
    """

    def __init__(self) -> None:
        self._first: dict[int, float] = {}
        self._last: dict[int, float] = {}

    def sample(self) -> None:
        """Look at what each has used so far."""
        stats = {int(p.name): _stat(p) for p in Path("/proc").iterdir() if p.name.isdigit()}
        family = _below(
            os.getpid(), {pid: int(fields[1]) for pid, fields in stats.items() if fields}
        )
        servers = {pid for pid in family if _FORK_SERVER in _command(pid)}
        for pid in family:
            fields = stats[pid]
            if int(fields[1]) not in servers:
                used = fields[11:15] if pid in servers else fields[11:13]
                self._last[pid] = sum(map(int, used)) / _TICK

    def start(self) -> None:
        """What was used until now does not count."""
        self.sample()
        self._first = dict(self._last)

    def seconds(self) -> float:
        """Since the start."""
        return sum(used - self._first.get(pid, 0.0) for pid, used in self._last.items())

    def of_older(self) -> float:
        """That of processes that there were at the start."""
        return sum(self._last[pid] - used for pid, used in self._first.items())


def _stat(process: Path) -> list[str]:
    """The fields from the state on (proc(5)); empty where the process has ended."""
    try:
        return (process / "stat").read_text().rpartition(")")[2].split()
    except OSError:
        return []


def _command(pid: int) -> bytes:
    try:
        return Path(f"/proc/{pid}/cmdline").read_bytes()
    except OSError:
        return b""


def _below(pid: int, parents: dict[int, int]) -> list[int]:
    children = [child for child, parent in parents.items() if parent == pid]
    return [found for child in children for found in (child, *_below(child, parents))]


@dataclass(frozen=True)
class Spent:
    """Seconds of one run: of the clock and of the processor, and how many of these were spent by
    what runs anyway (a cluster)."""

    clock: float
    processor: float
    cluster: float


def run(source: Path, workers: int, *flags: str) -> Spent:
    """To a fresh folder."""
    with tempfile.TemporaryDirectory(prefix="encodec-batch-") as out:
        command = [sys.executable, "-m", "service.batch", "--workers", str(workers)]
        command += ["--weights", "bundled", str(source), out, *flags]
        used = ProcessorTime()
        used.start()
        began = time.monotonic()
        with subprocess.Popen(command, stderr=subprocess.DEVNULL) as process:
            while process.poll() is None:
                used.sample()
                time.sleep(_INTERVAL)
        if process.returncode:
            raise RuntimeError(f"{' '.join(command)} ended with {process.returncode}")
        used.sample()
        return Spent(time.monotonic() - began, used.seconds(), used.of_older())


def make(folder: Path, short: int, long: int) -> None:
    """FLAC files of a second, and of ten minutes, of noise in which a tone moves."""
    rng = np.random.default_rng(0)
    for number in range(short + long):
        seconds = 1 if number < short else 600
        time_axis = np.arange(seconds * _RATE) / _RATE
        tone = 0.3 * np.sin(2 * np.pi * (200 + number % 50 + 20 * np.sin(time_axis)) * time_axis)
        samples = (tone + rng.normal(0, 0.01, len(tone)))[None].astype(np.float32)
        write_whole(samples, folder / f"{number:05}.flac", _RATE, rescale=False)


def main() -> int:
    """Prints each run and the median ratio."""
    parser = argparse.ArgumentParser("python -m benchmarks.batch", description=__doc__)
    parser.add_argument("--short", type=int, default=400, help="recordings of a second (400)")
    parser.add_argument("--long", type=int, default=2, help="recordings of ten minutes (2)")
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--rounds", type=int, default=3)
    given = parser.parse_args()
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    from ray.cluster_utils import Cluster

    node = {"num_cpus": given.workers, "include_dashboard": False}
    cluster = Cluster(initialize_head=True, head_node_args=node)
    ratios = []
    try:
        with tempfile.TemporaryDirectory(prefix="encodec-batch-") as folder:
            make(Path(folder), given.short, given.long)
            for _ in range(given.rounds):
                plain = run(Path(folder), given.workers)
                ray = run(Path(folder), given.workers, f"--ray={cluster.address}")
                ratios.append((ray.processor - ray.cluster) / plain.processor)
                print(
                    f"processes {plain.processor:.1f} s of processor in {plain.clock:.0f} s, "
                    f"Ray {ray.processor - ray.cluster:.1f} s, and {ray.cluster:.1f} s of the "
                    f"cluster's own processes, in {ray.clock:.0f} s: {ratios[-1]:.3f}",
                    flush=True,
                )
    finally:
        cluster.shutdown()
    print(f"median ratio {statistics.median(ratios):.3f}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
