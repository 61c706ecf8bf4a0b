"""`encodec-train carry`: pack a run's state into a few small files, and unpack it elsewhere.

Each file stays below 15 MiB. `encodec-train codec DATA RUN` (or `lm`) continues the unpacked run
with its settings, after a new warm-up of the learning rate.
"""

import argparse
import sys
from pathlib import Path

from ...errors import SettingsError
from ..lm.trainer import BEST
from ..settings import save_settings
from ..state import STATE, load_state, save_state
from .contents import packed, unpacked
from .parts import read_parts, write_parts


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The commands `pack` and `unpack`."""
    commands = parser.add_subparsers(dest="direction", required=True, metavar="COMMAND")
    pack = commands.add_parser("pack", help="write the state of RUN to files in FOLDER")
    pack.add_argument("run", type=Path, metavar="RUN")
    pack.add_argument("folder", type=Path, metavar="FOLDER")
    unpack = commands.add_parser("unpack", help="make the folder RUN from the files PART")
    unpack.add_argument("parts", type=Path, nargs="+", metavar="PART", help="all of them")
    unpack.add_argument("run", type=Path, metavar="RUN", help="folder without a run in it")


def run(arguments: argparse.Namespace) -> None:
    """Pack or unpack. Raises `WeightsError`, and `SettingsError` if the folder has a run."""
    if arguments.direction == "pack":
        for path in pack(arguments.run, arguments.folder):
            sys.stdout.write(f"{path}\n")
    else:
        step = unpack(arguments.parts, arguments.run)
        sys.stdout.write(f"step {step}: {arguments.run} can go on\n")


def pack(run: Path, folder: Path) -> list[Path]:
    """Write the state of `run` to parts in `folder`; returns their paths.

    Raises `WeightsError` for a run that cannot be read.
    """
    state = load_state(run / STATE)
    if state.get("kind") == "lm" and (run / BEST).exists():
        state["best_average"] = load_state(run / BEST).get("average")
    tensors, described = packed(state)
    return write_parts(tensors, described, folder, f"carry-{described['step']}")


def unpack(parts: list[Path], run: Path) -> int:
    """Make the run's folder from its parts; returns the step at which it continues.

    Raises `WeightsError` for parts that do not form a run, and `SettingsError` if the folder
    already has one.
    """
    if (run / STATE).exists():
        raise SettingsError(f"{run} holds a run already")
    tensors, described = read_parts(parts)
    state, settings = unpacked(tensors, described, parts[0])
    save_settings(settings, run)
    save_state(state, run / STATE)
    return int(state["step"])
