"""Files of version 1 with the language model, on one thread and on more: the command, the service.

python -m benchmarks.lm_threads [--model NAME ...] [--seconds S ...] [--threads N ...] [--runs N]

Seeded models and language models of the paper's size, at 6 kbps. Commands are real processes whose
start counts; the service is one process for each number of threads. All take turns.
"""

import argparse
import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path

import httpx
import torch

from model_core.audio import pcm16, wav_header
from model_core.checkpoints.save import save_lm, save_weights
from model_core.config import CONFIGS
from model_core.ecdc import ModelName

from .clips import Clip
from .models import seeded_lm, seeded_model
from .serving import servers
from .table import Cell, Column, Table, length
from .timing import take_turns

TABLE = Table(
    [
        Column("model", 13),
        Column("audio", 6),
        Column("", 20),
        Column("threads", 7, 0),
        Column("best s", 8, 2),
        Column("x real time", 11, 1),
        Column("x first", 7, 2),
    ]
)
_ROOT = Path(__file__).parent.parent
_COMPRESS = ("-f", "--lm", "--format", "1")


def main(argv: Sequence[str] | None = None) -> int:
    """Prints the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.lm_threads", description=__doc__)
    parser.add_argument("--model", nargs="+", choices=tuple(CONFIGS), default=list(CONFIGS))
    parser.add_argument("--seconds", nargs="+", type=float, default=[60.0])
    parser.add_argument("--threads", nargs="+", type=int, default=[1, 2])
    parser.add_argument("--runs", type=int, default=5)
    given = parser.parse_args(argv)
    print(TABLE.header())
    for name in given.model:
        with tempfile.TemporaryDirectory() as folder:
            _measure(name, Path(folder), given.seconds, given.threads, given.runs)
    return 0


def _measure(
    name: str, folder: Path, lengths: Sequence[float], threads: Sequence[int], runs: int
) -> None:
    weights = folder / "weights"
    weights.mkdir()
    saved = save_weights(seeded_model(name), weights, torch.float32)
    header = str(ModelName(name, saved.stem.rpartition("-")[2]))
    save_lm(seeded_lm(name), header, weights, torch.float32)
    with ExitStack() as stack:
        urls = {
            n: stack.enter_context(servers.of_folder(weights, name, header, n)).url for n in threads
        }
        for seconds in lengths:
            clip, file = folder / "clip.wav", folder / "clip.ecdc"
            samples = Clip(CONFIGS[name], seconds).whole()
            head = wav_header(CONFIGS[name].sample_rate, *samples.shape)
            clip.write_bytes(head + pcm16(samples))
            compress = [*_COMPRESS, *(["--hq"] if len(samples) == 2 else []), str(clip), str(file)]
            decompress = ["-f", str(file), str(folder / "back.wav")]
            _command(weights, compress, threads[0])
            for what, jobs in (
                (
                    "command, compress",
                    {n: partial(_command, weights, compress, n) for n in threads},
                ),
                (
                    "command, decompress",
                    {n: partial(_command, weights, decompress, n) for n in threads},
                ),
                ("service, decompress", {n: partial(_call, urls[n], file) for n in threads}),
            ):
                _print(name, seconds, what, jobs, runs)


def _command(weights: Path, arguments: Sequence[str], threads: int) -> None:
    subprocess.run(
        [sys.executable, "-m", "model_core", "--weights", str(weights), *arguments],
        cwd=_ROOT,
        env=os.environ | {"OMP_NUM_THREADS": str(threads)},
        check=True,
        capture_output=True,
    )


def _call(url: str, file: Path) -> None:
    answer = httpx.post(f"{url}/decompress", content=file.read_bytes(), timeout=None)
    answer.raise_for_status()


def _print(
    model: str, seconds: float, what: str, jobs: Mapping[int, Callable[[], None]], runs: int
) -> None:
    """The best of the runs: what else runs on the machine only makes them longer."""
    times = take_turns({str(n): job for n, job in jobs.items()}, runs, float("inf"))
    first = min(next(iter(times.values())))
    for threads, took in times.items():
        best = min(took)
        cells: list[Cell] = [model, length(seconds), what, int(threads)]
        print(TABLE.line([*cells, best, seconds / best, first / best]), flush=True)


if __name__ == "__main__":
    sys.exit(main())
