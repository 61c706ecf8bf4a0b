"""Decodes a folder of recordings once into a cache (see `data`).

    python -m model_core.training.cache FOLDER CACHE --model encodec_24khz --hold-out sp_anna

Where the folder has a `manifest.csv` with the columns `file` and `category`, it says what each
recording is; otherwise all are taken for speech. Recordings whose names begin with a held-out
prefix are kept for validation: hold out whole speakers and pieces.
"""

import argparse
import csv
import json
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import numpy as np
from tqdm import tqdm

from ..audio import open_audio
from ..config import ModelConfig, config_of
from .data import Recording

DEFAULT_CATEGORY = "speech"


def build_cache(
    folder: Path, cache: Path, config: ModelConfig, hold_out: Sequence[str] = ()
) -> list[Recording]:
    """Write the cache of all recordings of `folder` at the model's rate and channels.

    Raises `InvalidAudioError` at the first file that is no audio.
    """
    categories = _categories(folder)
    parts: list[np.ndarray] = []
    recordings: list[Recording] = []
    start = 0
    for name, category in tqdm(categories.items(), unit="file"):
        with open_audio(folder / name, config.sample_rate, config.channels) as source:
            samples = np.concatenate(list(source), axis=1)
        parts.append(np.clip(np.round(samples * 32768), -32768, 32767).astype(np.int16))
        split = "valid" if name.startswith(tuple(hold_out)) else "train"
        recordings.append(Recording(name, category, split, start, samples.shape[1]))
        start += samples.shape[1]
    cache.mkdir(parents=True, exist_ok=True)
    np.save(cache / "audio.npy", np.concatenate(parts, axis=1))
    (cache / "index.json").write_text(json.dumps([asdict(r) for r in recordings]))
    return recordings


def _categories(folder: Path) -> dict[str, str]:
    manifest = folder / "manifest.csv"
    if manifest.exists():
        with manifest.open(newline="") as file:
            return {row["file"]: row["category"] for row in csv.DictReader(file)}
    files = sorted(p for p in folder.rglob("*") if p.is_file())
    return {str(p.relative_to(folder)): DEFAULT_CATEGORY for p in files}


def main() -> None:
    parser = argparse.ArgumentParser(
        prog="python -m model_core.training.cache",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("cache", type=Path)
    parser.add_argument("--model", default="encodec_24khz")
    parser.add_argument("--hold-out", nargs="*", default=[], metavar="PREFIX")
    arguments = parser.parse_args()
    config = config_of(arguments.model)
    build_cache(arguments.folder, arguments.cache, config, arguments.hold_out)


if __name__ == "__main__":
    main()
