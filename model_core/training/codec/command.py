"""`encodec-train codec DATA RUN`: train a codec."""

import argparse
import sys
from pathlib import Path

import torch
from torch import distributed

from ... import distrib
from ...config import ModelConfig, config_of
from ..data.build import build_cache
from ..data.cache import INDEX, AudioCache
from ..processes import is_first, process_group
from ..settings import add_flags, from_flags, positive
from .settings import PRESETS, CodecSettings
from .trainer import CodecTrainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("data", type=Path, help="a folder of audio, or a cache made of one")
    parser.add_argument("run", type=Path, help="folder of the run; one that is there goes on")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda or cuda:N")
    parser.add_argument("--threads", type=positive, help="CPU threads of torch")
    parser.add_argument(
        "--stop-after", type=float, metavar="MINUTES", help="save and stop; start again to go on"
    )
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="paper",
        help="what the other flags change; laptop: a small network in five minutes",
    )
    add_flags(parser, CodecSettings)


def run(arguments: argparse.Namespace) -> None:
    """Train. Raises `SettingsError`, and `InvalidAudioError` where the data is no audio."""
    if arguments.threads is not None:
        torch.set_num_threads(arguments.threads)
    settings = from_flags(CodecSettings, arguments, arguments.run, PRESETS[arguments.preset])
    with process_group(arguments.device) as device:
        config = config_of(settings.model)
        folder = _cache(arguments.data, arguments.run, config)
        cache = AudioCache(folder, config.channels, config.sample_rate)
        trainer = CodecTrainer(settings, cache, arguments.run, device)
        ended = trainer.run(None if arguments.stop_after is None else 60 * arguments.stop_after)
        if is_first():
            after = "encodec-train export {} FOLDER writes its weights" if ended else "{} can go on"
            sys.stderr.write(f"step {trainer.step}: {after.format(arguments.run)}\n")


def _cache(data: Path, run: Path, config: ModelConfig) -> Path:
    """`data` where it is a cache, else the cache the first process makes of it in the run."""
    if (data / INDEX).exists():
        return data
    cache = run / "cache"
    if is_first() and not (cache / INDEX).exists():
        sys.stderr.write(f"{build_cache([data], cache, config)}\n")
    if distrib.is_distributed():
        distributed.barrier()
    return cache
