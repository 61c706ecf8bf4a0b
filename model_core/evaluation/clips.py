"""The recordings to evaluate on: a folder of audio, or the held-out part of a training cache."""

import logging
import random
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import lru_cache
from itertools import groupby
from pathlib import Path

import numpy as np

from ..audio import open_audio
from ..config import ModelConfig
from ..errors import InvalidAudioError
from ..training.data.cache import AudioCache, Recording
from ..training.data.listing import list_folders
from .conditions import changed

logger = logging.getLogger(__name__)

SPEECH = "speech"
SHORTEST = 1.0
"""Seconds; shorter clips are skipped."""
QUIETEST = 1e-3
"""Peak (1 is full scale); quieter clips count as silence and are skipped."""
_ORDER = 0  # seed of the order in which clips of a kind are taken


@dataclass(frozen=True)
class Clip:
    """The first `seconds` of a recording: of `recording` in a cache, or of the file `path`.

    `heard`: what it is decoded to is kept, for listening. `condition`: one of `CONDITIONS`, in
    which it is put; it must not be silent.
    """

    name: str
    category: str
    path: Path
    seconds: float
    recording: Recording | None = None
    heard: bool = False
    condition: str | None = None

    def read(self, config: ModelConfig) -> np.ndarray:
        """Samples float32 `[C, n]` at the model's rate.

        Raises `InvalidAudioError`, or `TrainingDataError` for a cache of another rate.
        """
        samples = self._recorded(config)
        if self.condition is None:
            return samples
        return changed(samples, self.condition, config.sample_rate)

    def _recorded(self, config: ModelConfig) -> np.ndarray:
        wanted = round(self.seconds * config.sample_rate)
        if self.recording is not None:
            length = min(self.recording.length, wanted)
            cache = _opened(self.path, config.channels, config.sample_rate)
            return cache.read(self.recording, 0, length).contiguous().numpy()
        blocks, found = [], 0
        with open_audio(self.path, config.sample_rate, config.channels) as source:
            for block in source:
                blocks.append(block)
                found += block.shape[1]
                if found >= wanted:
                    break
        return np.concatenate(blocks, axis=1)[:, :wanted]


def clips_of_cache(cache: Path, seconds: float) -> list[Clip]:
    """The held-out recordings of a training cache, at most `seconds` of each.

    Raises `TrainingDataError` if it is not a cache.
    """
    held_out = AudioCache(cache).of("valid")
    return [Clip(r.file, r.category, cache, seconds, r) for r in held_out]


def clips_of_folder(folder: Path, seconds: float, category: str = SPEECH) -> list[Clip]:
    """The files of a folder, at most `seconds` of each.

    Kinds are found as in training: from `manifest.csv` (columns `file` and `category`), else from
    folders called speech, music and so on, else `category`. Raises `TrainingDataError`.
    """
    listed = list_folders([folder], category)
    return [Clip(entry.name, entry.category, entry.path, seconds) for entry in listed]


def usable(
    clips: Sequence[Clip], config: ModelConfig, seconds_per_kind: float | None = None
) -> list[Clip]:
    """The clips that can be evaluated, by kind and name; warns of each unreadable one.

    Silence and clips shorter than `SHORTEST` are skipped. A kind gets clips from all over its
    recordings up to `seconds_per_kind`, in a fixed order.
    """
    by_kind = sorted(clips, key=lambda clip: (clip.category, clip.name))
    chosen: list[Clip] = []
    for _, kind in groupby(by_kind, key=lambda clip: clip.category):
        order = list(kind)
        if seconds_per_kind is not None:
            random.Random(_ORDER).shuffle(order)
        total = 0.0
        for clip in _measured(order, config):
            chosen.append(clip)
            total += clip.seconds
            if seconds_per_kind is not None and total >= seconds_per_kind:
                break
    return sorted(chosen, key=lambda clip: (clip.category, clip.name))


@lru_cache(maxsize=1)
def _opened(cache: Path, channels: int, sample_rate: int) -> AudioCache:
    return AudioCache(cache, channels, sample_rate)


def _measured(clips: Sequence[Clip], config: ModelConfig) -> Iterator[Clip]:
    """The usable clips, with their true seconds."""
    for clip in clips:
        try:
            samples = clip.read(config)
        except InvalidAudioError as error:
            logger.warning("%s left out: %s", clip.name, error)
            continue
        seconds = samples.shape[1] / config.sample_rate
        if seconds < SHORTEST or np.abs(samples).max() < QUIETEST:
            logger.warning("%s left out: it is silent or too short", clip.name)
            continue
        yield replace(clip, seconds=seconds)
