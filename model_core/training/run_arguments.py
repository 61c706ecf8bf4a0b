"""The arguments that all training commands share: folder, device, time limit, recordings."""

import argparse
import fcntl
import os
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import torch

from ..errors import SettingsError
from ..flags import Range, number_in, positive
from .data.cache import AudioCache
from .processes import is_first, process_group
from .state import STATE, recordings_of


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments `run`, `--device`, `--threads`, `--stop-after` and `--other-recordings`."""
    parser.add_argument("run", type=Path, help="folder of the run; an existing run continues")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument(
        "--threads",
        type=positive,
        help="CPU threads of torch (default on a CPU: one less than the cores)",
    )
    parser.add_argument(
        "--stop-after",
        type=number_in(Range(0)),
        metavar="MINUTES",
        help="save and stop after this time; start again to continue",
    )
    parser.add_argument(
        "--other-recordings",
        action="store_true",
        help="continue with other recordings than the run started with",
    )


@contextmanager
def run_device(arguments: argparse.Namespace) -> Iterator[torch.device]:
    """Join the run's processes and set the threads; yields the device to train on.

    Raises `SettingsError` where another command trains this run.
    """
    with process_group(arguments.device) as device, _alone(arguments.run):
        if arguments.threads is not None:
            torch.set_num_threads(arguments.threads)
        elif device.type == "cpu" and "OMP_NUM_THREADS" not in os.environ:
            # The threads wait for each other at every layer, spinning: if another program, or the
            # thread that draws clips, takes the core of one, all are delayed.
            torch.set_num_threads(max(1, torch.get_num_threads() - 1))
        # Where there are few recordings, little is left for the last codebooks, and what is nearly
        # 0 takes a CPU ten times as long.
        torch.set_flush_denormal(True)
        try:
            yield device
        finally:
            torch.set_flush_denormal(False)


@contextmanager
def _alone(run: Path) -> Iterator[None]:
    """Inside, this command (its first process) has the folder `run`, which is made if need be."""
    if not is_first():
        yield
        return
    run.mkdir(parents=True, exist_ok=True)
    folder = os.open(run, os.O_RDONLY)
    try:
        fcntl.flock(folder, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        os.close(folder)
        raise SettingsError(f"another command is training {run}") from None
    try:
        yield
    finally:
        os.close(folder)
        with suppress(OSError):
            run.rmdir()  # where nothing came to be in it


def stop_after(arguments: argparse.Namespace, began: float) -> float | None:
    """Seconds from now until this start must end; None: at the end of the run.

    `began` is the `time.monotonic()` of the command's start: reading data counts.
    """
    if arguments.stop_after is None:
        return None
    return max(0.0, 60 * arguments.stop_after - (time.monotonic() - began))


def require_same_recordings(arguments: argparse.Namespace, cache: AudioCache) -> None:
    """Raises `SettingsError` if a run would continue with other recordings unintentionally.

    Runs and caches of older versions do not name their recordings.
    """
    state = arguments.run / STATE
    if arguments.other_recordings or not state.exists():
        return
    before = recordings_of(state)
    if None not in (before, cache.origin) and before != cache.origin:
        raise SettingsError(
            f"{arguments.run} began with other recordings; give those, or --other-recordings to "
            "go on with these"
        )


def tell_end(run: Path, step: int, ended: bool) -> None:
    """A line on stderr: how far the run is, and what can be done with it."""
    after = "encodec-train export {} FOLDER writes its weights" if ended else "{} can go on"
    sys.stderr.write(f"step {step}: {after.format(run)}\n")
