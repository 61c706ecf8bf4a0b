"""`encodec-train lm CACHE RUN`: train the language model of a codec's codes."""

import argparse
import sys
import time
from pathlib import Path

from ..data.cache import AudioCache
from ..processes import is_first
from ..run_arguments import (
    add_run_arguments,
    require_same_recordings,
    run_device,
    stop_after,
    tell_end,
)
from ..settings import SETTINGS, add_flags, from_flags
from .export import export_lm
from .settings import EARLIER, LMTrainingConfig
from .trainer import LMTrainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.usage = "%(prog)s [FLAG ...] CACHE RUN   (--help lists the flags)"
    parser.add_argument(
        "cache",
        type=Path,
        help="a cache of recordings, made by prepare or in a codec's run; the codes are stored in "
        "RUN/codes",
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--export",
        type=Path,
        metavar="FOLDER",
        help="at the end, write it beside the weights in FOLDER",
    )
    add_flags(parser, LMTrainingConfig)


def run(arguments: argparse.Namespace) -> None:
    """Train. Raises `SettingsError`, and `WeightsUnavailableError` without the weights."""
    began = time.monotonic()
    earlier = EARLIER if (arguments.run / SETTINGS).exists() else None
    settings = from_flags(LMTrainingConfig, arguments, arguments.run, earlier)
    with run_device(arguments) as device:
        cache = AudioCache(arguments.cache, settings.codec.channels, settings.codec.sample_rate)
        require_same_recordings(arguments, cache)
        trainer = LMTrainer(settings, cache, arguments.run, device)
        ended = trainer.run(stop_after(arguments, began))
        if not is_first():
            return
        tell_end(arguments.run, trainer.step, ended)
        if arguments.export is not None and ended:
            sys.stdout.write(f"{export_lm(arguments.run, arguments.export)}\n")
