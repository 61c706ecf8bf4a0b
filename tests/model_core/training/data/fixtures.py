"""Caches of noise."""

import json
from pathlib import Path
from typing import Any

import numpy as np

RATE = 8_000


def write_cache(
    folder: Path,
    recordings: list[tuple[str, str, float]],
    channels: int = 1,
    old: bool = False,
    silent: tuple[int, ...] = (),
) -> Path:
    """A cache with (category, split, seconds); recording `i` is noise of about `i + 1` / 100."""
    folder.mkdir()
    random = np.random.default_rng(1)
    parts, entries, start = [], [], 0
    for number, (category, split, seconds) in enumerate(recordings):
        length = round(seconds * RATE)
        noise = (
            random.uniform(-0.01, 0.01, (channels, length)) * (number + 1) * (number not in silent)
        )
        parts.append(np.rint(noise * 32767).astype(np.int16))
        entry = {"file": f"{number}.wav", "category": category, "split": split}
        entries.append(entry | {"start": start, "length": length})
        start += length
    np.save(folder / "audio.npy", np.concatenate(parts, axis=1))
    index: Any = entries if old else {"version": 2, "sample_rate": RATE, "recordings": entries}
    (folder / "index.json").write_text(json.dumps(index))
    return folder


MIXED = [("speech", "train", 2.0), ("music", "train", 3.0), ("speech", "valid", 1.0)]
