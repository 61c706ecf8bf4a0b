"""Decodes folders of recordings once into a cache (see `data`): `encodec-train prepare`.

Samples are written to disk at once, so memory does not grow with the recordings. The cache is made
in a temporary folder and moved into place when complete.
"""

import argparse
import json
import os
import sys
import tempfile
import warnings
from collections import Counter
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path

from ...config import CONFIGS, ModelConfig, config_of
from ...errors import TrainingDataError
from ...flags import Range, number_in, positive
from .cache import AUDIO, INDEX, PACKED, AudioCache, Recording, read_index
from .decode import decode_all
from .groups import groups_of
from .listing import Listed, list_folders
from .origin import origin_of
from .pack import write_pack
from .split import VALID_SHARE, Part, split_recordings

VERSION = 2  # of the index: a list in the first one
DEFAULT_CATEGORY = "speech"


@dataclass(frozen=True)
class BuildReport:
    """What is in a cache, and what is not: file -> reason."""

    sample_rate: int
    recordings: list[Recording]
    skipped: dict[str, str] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)

    def __str__(self) -> str:
        seconds: Counter[tuple[str, str]] = Counter()
        counts: Counter[tuple[str, str]] = Counter()
        for r in self.recordings:
            seconds[r.category, r.split] += r.length
            counts[r.category, r.split] += 1
        lines = [
            f"{category} {split}: {counts[category, split]} recordings, "
            f"{length / self.sample_rate / 60:.1f} min"
            for (category, split), length in sorted(seconds.items())
        ]
        if self.skipped:
            lines.append(f"skipped: {len(self.skipped)} files")
        return "\n".join([*lines, *self.notes])


def build_cache(
    folders: Path | Sequence[Path],
    cache: Path,
    config: ModelConfig,
    hold_out: Sequence[str] = (),
    valid_share: float = 0.1,
    category: str = DEFAULT_CATEGORY,
    jobs: int = 1,
    pack: bool = False,
    noise_db: float | None = None,
    without: Path | None = None,
) -> BuildReport:
    """Write the cache of all recordings of `folders` at the model's rate and channels.

    Files that are not audio, shorter than 0.2 s or silent are skipped with a warning. The order is
    that of the names, for any number `jobs` of decoding processes; with several, the calling script
    needs `if __name__ == "__main__"`. `pack` compresses the samples, lossless unless `noise_db` is
    given (see `pack.write_pack`). The folder `without` is not searched for recordings.
    Raises `TrainingDataError` if no recordings remain, for a broken manifest, or if `cache` exists
    and is not a cache; `SettingsError` for an impossible share.
    """
    folders = [folders] if isinstance(folders, Path) else folders
    listed = list_folders(folders, category, without)
    origin = origin_of(listed, config)
    _check_place(cache)
    cache.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{cache.name}.", dir=cache.parent) as made:
        work = Path(made)
        decoded = decode_all(listed, work, config, max(1, min(jobs, len(listed))))
        skipped = {e.name: d.reason for e, d in zip(listed, decoded, strict=True) if d.reason}
        for name, reason in skipped.items():
            warnings.warn(f"{name} is left out: {reason}", stacklevel=2)
        kept = [(e, d.length) for e, d in zip(listed, decoded, strict=True) if not d.reason]
        if not kept:
            where = "the folder" if len(folders) == 1 else "the folders"
            raise TrainingDataError(
                f"no audio to train on in {where}: {len(listed)} files, none of them usable"
            )
        recordings, notes = _arrange(kept, valid_share, hold_out)
        index = {
            "version": VERSION,
            "sample_rate": config.sample_rate,
            "channels": config.channels,
            "origin": origin,
            "recordings": [asdict(r) for r in recordings],
        }
        (work / INDEX).write_text(json.dumps(index))
        if pack:
            write_pack(AudioCache(work).audio, work / PACKED, noise_db)
            (work / AUDIO).unlink()
        _put_in_place(work, cache)
    return BuildReport(config.sample_rate, recordings, skipped, notes)


def pack_cache(cache: Path, packed: Path, noise_db: float | None = None) -> None:
    """Make a packed copy of a cache; lossless unless `noise_db` is given.

    Raises `TrainingDataError` if `cache` is not a cache, or `packed` exists and is not one.
    """
    audio = AudioCache(cache).audio
    _check_place(packed)
    packed.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{packed.name}.", dir=packed.parent) as made:
        work = Path(made)
        write_pack(audio, work / PACKED, noise_db)
        (work / INDEX).write_bytes((cache / INDEX).read_bytes())
        _put_in_place(work, packed)


def _check_place(cache: Path) -> None:
    """Raises `TrainingDataError` where more than a cache would be replaced."""
    if not cache.exists():
        return
    inside = {path.name for path in cache.iterdir()} if cache.is_dir() else {""}
    if INDEX in inside:
        read_index(cache)
    if inside and not {INDEX} <= inside <= {AUDIO, PACKED, INDEX}:
        raise TrainingDataError(f"{cache} already exists and is no cache, or has other files too")


def _put_in_place(work: Path, cache: Path) -> None:
    """Move the finished cache into place; an older one is removed only when this is complete."""
    whole, old = work / "whole", work / "old"
    whole.mkdir()
    for name in (AUDIO, PACKED, INDEX):
        if (work / name).exists():
            (work / name).rename(whole / name)
    if cache.exists():
        cache.rename(old)
    whole.rename(cache)


def _arrange(
    kept: Sequence[tuple[Listed, int]], share: float, hold_out: Sequence[str]
) -> tuple[list[Recording], list[str]]:
    groups = groups_of([entry for entry, _ in kept])
    parts = [
        Part(entry.name, entry.category, group, length, entry.split)
        for (entry, length), group in zip(kept, groups, strict=True)
    ]
    split = split_recordings(parts, share, hold_out)
    recordings = []
    start = 0
    for part in split.parts:
        side = part.split or "train"
        recordings.append(Recording(part.file, part.category, side, start, part.length, part.group))
        start += part.length
    return recordings, split.notes


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """The arguments of `encodec-train prepare`."""
    parser.add_argument(
        "folders", type=Path, nargs="+", metavar="FOLDER", help="folder of recordings"
    )
    parser.add_argument("cache", type=Path, metavar="CACHE", help="folder to make")
    parser.add_argument(
        "--model",
        default="encodec_24khz",
        choices=list(CONFIGS),
        help="the model that the cache is for",
    )
    parser.add_argument(
        "--category",
        default=DEFAULT_CATEGORY,
        help="category of recordings for which neither a manifest nor a folder's name gives one "
        "(speech, music, environment; default %(default)s)",
    )
    parser.add_argument(
        "--valid-share",
        type=number_in(VALID_SHARE),
        default=0.1,
        metavar="SHARE",
        help="share of each category's seconds that is held out for validation, as whole speakers "
        "and pieces (default %(default)s)",
    )
    parser.add_argument(
        "--hold-out",
        nargs="+",
        default=[],
        metavar="PREFIX",
        help="hold out exactly the files whose names begin with this, in place of --valid-share",
    )
    parser.add_argument("--jobs", type=positive, default=os.cpu_count() or 1, help="processes")
    parser.add_argument(
        "--pack",
        action="store_true",
        help="compress the samples, to copy the cache elsewhere; FOLDER may then be a cache",
    )
    parser.add_argument("-f", "--force", action="store_true", help="replace an existing cache")
    parser.add_argument(
        "--pack-noise",
        type=number_in(Range(0, 200)),
        metavar="DB",
        help="pack with loss: noise this many dB below each 4096 samples (45: half as large)",
    )


def run(arguments: argparse.Namespace) -> None:
    """Build the cache and say what is in it. Raises `EncodecError`."""
    if (arguments.cache / INDEX).exists() and not arguments.force:
        raise TrainingDataError(f"{arguments.cache} is a cache already; use -f to replace it")
    pack = arguments.pack or arguments.pack_noise is not None
    first = arguments.folders[0]
    if pack and len(arguments.folders) == 1 and (first / INDEX).exists():
        pack_cache(first, arguments.cache, arguments.pack_noise)
        return
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        report = build_cache(
            arguments.folders,
            arguments.cache,
            config_of(arguments.model),
            arguments.hold_out,
            arguments.valid_share,
            arguments.category,
            arguments.jobs,
            pack,
            arguments.pack_noise,
        )
    for name, reason in report.skipped.items():
        sys.stderr.write(f"left out: {name}: {reason}\n")
    sys.stdout.write(f"{report}\n")
