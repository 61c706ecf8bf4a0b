"""Recordings decoded once, and clips of them.

A cache folder holds the samples of all recordings (`audio.npy`, int16 `[C, N]`, or the packed
`audio.pack`), and `index.json`, which lists the recordings and their positions. `build` makes one.
"""

import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import TrainingDataError
from .pack import BROKEN, read_pack

AUDIO, PACKED, INDEX = "audio.npy", "audio.pack", "index.json"


@dataclass(frozen=True)
class Recording:
    """A recording's position in the cache, in samples; `group` names its speaker or piece."""

    file: str
    category: str
    split: str  # "train" or "valid"
    start: int
    length: int
    group: str = ""


@dataclass(frozen=True)
class Index:
    """The contents of `index.json`: the sample rate (Hz; None in older caches), the recordings, and
    their origin (`origin.origin_of`; None in older caches)."""

    sample_rate: int | None
    recordings: list[Recording]
    origin: str | None = None


class AudioCache:
    """Reads clips `[C, T]` from a cache folder.

    Clips have `channels` channels, by default those of the cache: mono is copied to both sides,
    stereo becomes the mean of both. `sample_rate` (Hz) must be the cache's; an old cache without a
    rate takes it. Raises `TrainingDataError` for a folder that is not a complete cache or has
    another rate.
    """

    def __init__(self, folder: Path, channels: int | None = None, sample_rate: int | None = None):
        index = read_index(folder)
        written, self.recordings, self.origin = index.sample_rate, index.recordings, index.origin
        if None not in (written, sample_rate) and written != sample_rate:
            raise TrainingDataError(
                f"the cache {folder} has {written} Hz, the model needs {sample_rate} Hz"
            )
        self.sample_rate = sample_rate if written is None else written  # Hz; None: unknown
        self.audio = _read_audio(folder)
        stored = self.audio.shape[0]
        self.channels = stored if channels is None else channels
        if self.channels not in (1, 2):
            raise TrainingDataError(f"clips have 1 or 2 channels, not {self.channels}")
        samples = self.audio.shape[1]
        if any(min(r.start, r.length) < 0 or r.start + r.length > samples for r in self.recordings):
            raise TrainingDataError(f"the cache {folder} is shorter than its {INDEX} says")

    def read(self, recording: Recording, offset: int, length: int) -> Tensor:
        """`length` samples from `offset`, float32 `[C, T]` in [-1, 1), zeros past the end."""
        stop = min(offset + length, recording.length)
        part = self.audio[:, recording.start + offset : recording.start + stop]
        clip = torch.from_numpy(np.divide(part, 32768, dtype=np.float32, order="C"))
        if clip.shape[0] > self.channels:
            clip = clip.mean(dim=0, keepdim=True)
        clip = clip.expand(self.channels, -1)
        return torch.nn.functional.pad(clip, (0, length - clip.shape[-1]))

    def of(self, split: str, category: str | None = None) -> list[Recording]:
        """The recordings of a split and, if given, of a category."""
        return [r for r in self.recordings if r.split == split and category in (None, r.category)]


def read_index(folder: Path) -> Index:
    """The index of a cache. Raises `TrainingDataError` for an invalid one."""
    try:
        index = json.loads((folder / INDEX).read_text())
    except (OSError, ValueError) as error:
        raise TrainingDataError(f"{folder} is no cache of recordings: {error}") from error
    try:
        if isinstance(index, list):
            return Index(None, [_recording(entry) for entry in index])
        recordings = [_recording(entry) for entry in index["recordings"]]
        origin = index.get("origin")
        return Index(int(index["sample_rate"]), recordings, None if origin is None else str(origin))
    except (KeyError, TypeError, ValueError) as error:
        raise TrainingDataError(f"{folder / INDEX} is no index of recordings: {error!r}") from error


def _recording(entry: dict[str, Any]) -> Recording:
    start, length = int(entry["start"]), int(entry["length"])
    return Recording(**{**entry, "start": start, "length": length})


def _read_audio(folder: Path) -> npt.NDArray[np.int16]:
    try:
        if (folder / PACKED).exists():
            return read_pack(folder / PACKED)
        audio: npt.NDArray[np.int16] = np.load(folder / AUDIO, mmap_mode="c")
    except BROKEN as error:
        raise TrainingDataError(f"{folder} is no cache of recordings: {error}") from error
    if audio.ndim != 2 or audio.dtype != np.int16:
        raise TrainingDataError(f"{folder / AUDIO} is not int16 [C, N]")
    return audio
