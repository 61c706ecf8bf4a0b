"""`encodec-train codec DATA RUN`: train a codec."""

import argparse
import sys
from pathlib import Path

from ...config import ModelConfig, config_of
from ..data.build import build_cache
from ..data.cache import INDEX, AudioCache
from ..processes import first_one_first, is_first
from ..run_arguments import add_run_arguments, run_device, stop_after
from ..settings import add_flags, from_flags
from .settings import PRESETS, CodecSettings
from .trainer import CodecTrainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.add_argument("data", type=Path, help="a folder of audio, or a cache made of one")
    add_run_arguments(parser)
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="paper",
        help="what the other flags change; laptop: a small network in five minutes",
    )
    add_flags(parser, CodecSettings)


def run(arguments: argparse.Namespace) -> None:
    """Train. Raises `SettingsError`, and `InvalidAudioError` where the data is no audio."""
    settings = from_flags(CodecSettings, arguments, arguments.run, PRESETS[arguments.preset])
    with run_device(arguments) as device:
        config = config_of(settings.model)
        folder = _cache(arguments.data, arguments.run, config)
        cache = AudioCache(folder, config.channels, config.sample_rate)
        trainer = CodecTrainer(settings, cache, arguments.run, device)
        ended = trainer.run(stop_after(arguments))
        if is_first():
            after = "encodec-train export {} FOLDER writes its weights" if ended else "{} can go on"
            sys.stderr.write(f"step {trainer.step}: {after.format(arguments.run)}\n")


def _cache(data: Path, run: Path, config: ModelConfig) -> Path:
    """`data` where it is a cache, else the cache the first process makes of it in the run."""
    if (data / INDEX).exists():
        return data
    cache = run / "cache"
    with first_one_first():
        if not (cache / INDEX).exists():
            sys.stderr.write(f"{build_cache([data], cache, config)}\n")
    return cache
