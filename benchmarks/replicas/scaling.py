"""Throughput of one replica with one thread, and of two, each on a core of its own."""

import os
import tempfile
from collections.abc import Callable
from contextlib import AbstractContextManager
from pathlib import Path

import torch

from model_core.checkpoints.save import save_weights

from ..models import seeded_model
from ..serving.clients import Load, post_clips
from ..serving.uploads import clip
from ..table import Column, Table
from .behind_proxy import BehindProxy
from .on_serve import OnServe
from .processes import cpu_seconds

_MODEL = "encodec_24khz"
_CLIP_SECONDS = 10.0
_TABLE = Table(
    [
        Column("replicas", 8, 0),
        Column("answers", 7, 0),
        Column("failed", 6, 0),
        Column("audio s/s", 9, 2),
        Column("their cores", 11, 2),
        Column("audio s / core s", 16, 2),
        Column("others' cores", 13, 2),
    ]
)


def main(
    run: Callable[[int, list[str]], AbstractContextManager[BehindProxy | OnServe]],
    clients: int,
    seconds: float,
    rounds: int,
) -> int:
    """Print figures with networks of full width; 1 where a request failed.

    `their cores` is what the replicas used of the processor, `others' cores` what all else on the
    machine did (clients and proxy too). Where the machine has other work, the ratio of `audio s /
    core s` says what would be without it: near 1, twice the replicas do twice the work.
    """
    model = seeded_model(_MODEL)
    clips = [clip(_CLIP_SECONDS, model.config.sample_rate, 1, seed) for seed in range(8)]
    cores = sorted(os.sched_getaffinity(0))
    failed = 0
    speeds: dict[int, list[float]] = {1: [], 2: []}
    efficiencies: dict[int, list[float]] = {1: [], 2: []}
    with tempfile.TemporaryDirectory() as folder:
        save_weights(model, Path(folder), torch.float32)
        print(_TABLE.header(), flush=True)
        for _ in range(rounds):
            for replicas in speeds:
                with run(replicas, ["--weights", folder]) as running:
                    running.pin(cores)
                    url = f"{running.url}/compress?model={_MODEL}"
                    post_clips(url, clips, 2 * replicas, 2)
                    before, busy = _cpu(running), _busy()
                    load = post_clips(url, clips, clients, seconds)
                    used, busy = _cpu(running) - before, _busy() - busy
                speeds[replicas].append(load.audio_seconds / load.wall)
                efficiencies[replicas].append(load.audio_seconds / used)
                failed += load.failed
                print(_TABLE.line(_cells(replicas, load, used, busy)), flush=True)
    ratio = max(speeds[2]) / max(speeds[1])
    each = max(efficiencies[2]) / max(efficiencies[1])
    print(
        f"two replicas: {ratio:.2f} times the throughput of one; per core second {each:.2f} times"
    )
    return int(bool(failed))


def _cpu(running: BehindProxy | OnServe) -> float:
    return sum(cpu_seconds(pid) for pid in running.pids)


def _busy() -> float:
    """Seconds that the cores of the machine have worked (proc(5))."""
    user, nice, system, _, _, irq, soft, steal = map(
        int, Path("/proc/stat").read_text().splitlines()[0].split()[1:9]
    )
    return (user + nice + system + irq + soft + steal) / os.sysconf("SC_CLK_TCK")


def _cells(replicas: int, load: Load, used: float, busy: float) -> list[str | float | None]:
    speed = load.audio_seconds / load.wall
    others = (busy - used) / load.wall
    each = load.audio_seconds / used
    return [replicas, len(load.latencies), load.failed, speed, used / load.wall, each, others]
