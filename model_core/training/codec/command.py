"""`encodec-train codec DATA RUN`: train a codec."""

import argparse
import sys
import time
import warnings
from pathlib import Path

from ...config import ModelConfig, config_of
from ...errors import SettingsError
from ..data.build import DEFAULT_CATEGORY, build_cache
from ..data.cache import INDEX, AudioCache, read_index
from ..data.listing import list_folders
from ..data.origin import origin_of
from ..processes import first_one_first, is_first
from ..run_arguments import (
    add_run_arguments,
    require_same_recordings,
    run_device,
    stop_after,
    tell_end,
)
from ..settings import add_flags, from_flags
from ..state import STATE
from .settings import PRESETS, CodecSettings
from .start import require_fitting
from .trainer import CodecTrainer


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The command's arguments."""
    parser.usage = "%(prog)s [FLAG ...] DATA RUN   (--help lists the flags)"
    parser.add_argument(
        "data",
        type=Path,
        help="a folder of audio, or a cache made from one. A folder is decoded into RUN/cache, and "
        "again if its files change before the run has saved a state; later changes are refused "
        "without --other-recordings",
    )
    add_run_arguments(parser)
    parser.add_argument(
        "--preset",
        choices=tuple(PRESETS),
        default="paper",
        help="defaults of the other flags; laptop: a small network in five minutes; core: the "
        "bundled weights, on one CPU core for hours; gpu: the same, widened, for minutes of a GPU",
    )
    add_flags(parser, CodecSettings)


def run(arguments: argparse.Namespace) -> None:
    """Train. Raises `SettingsError`, and `TrainingDataError` if the data is not audio."""
    began = time.monotonic()
    settings = from_flags(CodecSettings, arguments, arguments.run, PRESETS[arguments.preset])
    with run_device(arguments) as device:
        config = config_of(settings.model)
        if settings.start_from is not None and not (arguments.run / STATE).exists():
            require_fitting(
                settings.start_from, config.with_filters(settings.n_filters), settings.graft
            )
        folder = cache_of(arguments.data, arguments.run, config, arguments.other_recordings)
        cache = AudioCache(folder, config.channels, config.sample_rate)
        require_same_recordings(arguments, cache)
        trainer = CodecTrainer(settings, cache, arguments.run, device)
        ended = trainer.run(stop_after(arguments, began))
        if is_first():
            tell_end(arguments.run, trainer.step, ended)


def cache_of(data: Path, run: Path, config: ModelConfig, other_recordings: bool = False) -> Path:
    """`data` if it is a cache, else the cache that the first process makes of it in the run.

    An existing cache is used if `data` is still its source (older caches do not name their source).
    Otherwise it is made again if the run has no saved state, or with `other_recordings`; if neither
    holds, raises `SettingsError`, because a run continues with the same training and validation
    recordings. Raises `TrainingDataError` like `build_cache`.
    """
    if (data / INDEX).exists():
        return data
    cache = run / "cache"
    with first_one_first():
        made = (cache / INDEX).exists()
        if made and (not is_first() or _is_made_of(cache, data, run, config)):
            return cache
        if made and (run / STATE).exists() and not other_recordings:
            raise SettingsError(
                f"{data} is not, or no longer, what {cache} was made of: give {cache} in place of "
                "it to go on as before, or --other-recordings to go on with these"
            )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the report says it
            report = build_cache(data, cache, config, without=run)
        for name, reason in report.skipped.items():
            sys.stderr.write(f"left out: {name}: {reason}\n")
        sys.stderr.write(f"{report}\n")
    return cache


def _is_made_of(cache: Path, data: Path, run: Path, config: ModelConfig) -> bool:
    origin = read_index(cache).origin
    if origin is None:
        return True
    if not data.is_dir():
        return False
    return origin == origin_of(list_folders([data], DEFAULT_CATEGORY, without=run), config)
