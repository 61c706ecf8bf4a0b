"""The command: all stages, one stage, the table of a run, or the archive to copy.

python -m benchmarks.gpu_check run [--device cuda|cpu] [--quick] [--out DIR] [--seconds 500]
python -m benchmarks.gpu_check table DIR       print the table of a run again
python -m benchmarks.gpu_check pack FILE       what a GPU machine needs, as .tar.gz
                                               (scripts/gpu_check.sh --pack FILE)
"""

import argparse
import math
import sys
import time
from collections.abc import Sequence
from datetime import datetime
from importlib import import_module
from pathlib import Path

from .pack import pack
from .report import Report, read_rows
from .runner import run
from .stages import NAMES, chosen
from .summary import summary


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 if nothing failed, else 1; argparse exits with 2."""
    options = parser().parse_args(arguments)
    if options.command == "pack":
        try:
            print(pack(options.file))
        except OSError as error:
            return _refused(f"{options.file}: {error.strerror or error}")
        return 0
    if options.command == "table":
        rows = read_rows(options.folder)
        if not rows:
            return _refused(f"{options.folder} holds no rows of a run")
        print(summary(rows), end="")
        return 0
    if options.command == "stage":
        return _stage(options)
    passed = ["--device", options.device, *(["--quick"] if options.quick else [])]
    folder = options.out or Path("runs") / f"gpu-check-{datetime.now():%Y%m%d-%H%M%S}"
    if read_rows(folder):
        return _refused(f"{folder} holds a run already")
    return 0 if run(options.stages, folder, options.seconds, passed) else 1


def _refused(why: str) -> int:
    print(why, file=sys.stderr)
    return 1


def _stage(options: argparse.Namespace) -> int:
    """Run a stage in this process, which ends with its errors."""
    from .check import Check

    check = Check(options.device, options.quick)
    options.out.mkdir(parents=True, exist_ok=True)
    module = import_module(f"{__package__}.{options.name}")
    left = math.inf if options.end is None else options.end - time.time()
    module.run(check, Report(options.name, options.out, left, check.wait))
    return 0


def _stages(text: str) -> object:
    try:
        return chosen(text.split(","))
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from error


def parser() -> argparse.ArgumentParser:
    """The options."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks.gpu_check",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    commands = options.add_subparsers(dest="command", required=True)
    whole, one = commands.add_parser("run"), commands.add_parser("stage")
    for command in (whole, one):
        command.add_argument("--device", default="cuda", help="cuda (default) or cpu")
        command.add_argument("--quick", action="store_true", help="tiny networks, few rows")
    whole.add_argument("--seconds", type=float, default=500, help="in all (default: 500)")
    whole.add_argument("--out", type=Path, metavar="DIR", help="default: a new one below runs/")
    whole.add_argument(
        "--stages", type=_stages, default=chosen(NAMES), metavar="A,B", help=", ".join(NAMES)
    )
    one.add_argument("name", choices=NAMES)
    one.add_argument("--out", type=Path, metavar="DIR", required=True)
    one.add_argument("--end", type=float, metavar="T", help="when to end, as time.time()")
    commands.add_parser("table").add_argument("folder", type=Path, metavar="DIR")
    commands.add_parser("pack").add_argument("file", type=Path, metavar="FILE.tar.gz")
    return options
