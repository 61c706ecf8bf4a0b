"""`encodec-train lm CACHE RUN`: train the language model of a codec's codes."""

import argparse
import sys
from pathlib import Path

import torch

from ..data.cache import AudioCache
from ..processes import is_first, process_group
from ..settings import add_flags, from_flags, positive
from .export import export_lm
from .settings import LMTrainingConfig
from .trainer import LMTrainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("cache", type=Path, help="a cache of recordings")
    parser.add_argument("run", type=Path, help="folder of the run; one that is there goes on")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=positive, help="CPU threads of torch")
    parser.add_argument(
        "--stop-after", type=float, metavar="MINUTES", help="save and stop; start again to go on"
    )
    parser.add_argument(
        "--export", type=Path, metavar="FOLDER", help="then write it beside the weights in FOLDER"
    )
    add_flags(parser, LMTrainingConfig)


def run(arguments: argparse.Namespace) -> None:
    """Train. Raises `SettingsError`, and `WeightsUnavailableError` for want of the weights."""
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    settings = from_flags(LMTrainingConfig, arguments, arguments.run)
    with process_group(arguments.device) as device:
        cache = AudioCache(arguments.cache, settings.codec.channels, settings.codec.sample_rate)
        trainer = LMTrainer(settings, cache, arguments.run, device)
        trainer.run(None if arguments.stop_after is None else 60 * arguments.stop_after)
        if arguments.export is not None and is_first():
            sys.stdout.write(f"{export_lm(arguments.run, arguments.export)}\n")
