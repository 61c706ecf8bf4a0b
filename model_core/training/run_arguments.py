"""What the commands that train share: where a run lies, on what it runs and how long."""

import argparse
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from .processes import process_group
from .settings import positive


def add_run_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments `run`, `--device`, `--threads` and `--stop-after`."""
    parser.add_argument("run", type=Path, help="folder of the run; one that is there goes on")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=positive, help="CPU threads of torch")
    parser.add_argument(
        "--stop-after",
        type=float,
        metavar="MINUTES",
        help="of this command: then save and stop; start again to go on",
    )


@contextmanager
def run_device(arguments: argparse.Namespace) -> Iterator[torch.device]:
    """The device to train on, among the run's processes, with the threads that are wanted."""
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    with process_group(arguments.device) as device:
        yield device


def stop_after(arguments: argparse.Namespace, began: float) -> float | None:
    """Seconds from now after which this start shall end; None: when the run does.

    `began` is the `time.monotonic()` at which the command was given: reading data counts.
    """
    if arguments.stop_after is None:
        return None
    return max(0.0, 60 * arguments.stop_after - (time.monotonic() - began))
