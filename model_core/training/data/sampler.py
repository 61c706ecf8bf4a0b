"""Random training clips, of which each step can be drawn again; validation clips."""

from collections import Counter
from collections.abc import Callable, Iterator, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from ...errors import SettingsError, TrainingDataError
from ..processes import seed_of
from .augment import AS_IT_IS, Augmentation
from .batched import (
    band_limited,
    clipped,
    levelled,
    mixed,
    noisy,
    reverberated,
    room_responses,
)
from .cache import AudioCache, Recording
from .draw import TRIES, Drawer, Floats, Ints, Rooms, Wear

AUDIBLE = 1e-3  # RMS (-60 dBFS) under which a clip is drawn again


class ClipSampler:
    """Draws batches `[B, C, T]` of random clips of `clip` samples from the training recordings.

    `weights` is how often each category is drawn (categories missing in the cache are ignored;
    empty: in proportion to their length). Batches are a pure function of `(seed, rank, step)` and
    their size: an exact resume needs no saved state, and every process draws its own. Without
    `augmentation`, clips are unchanged.

    On a `device` other than the CPU the samples, int16, are in its memory (see `fits`). Only the
    random draws are sent there, and nothing is read from it, so the host does not wait.

    Raises `TrainingDataError` if nothing can be drawn, `SettingsError` for a negative weight.
    Source: paper sections 4.1 and 4.2.
    """

    def __init__(
        self,
        cache: AudioCache,
        clip: int,
        weights: Mapping[str, float],
        seed: int,
        rank: int = 0,
        augmentation: Augmentation | None = None,
        device: torch.device | str = "cpu",
    ):
        self.clip, self.seed, self.rank = clip, seed, rank
        self.channels, self.sample_rate = cache.channels, cache.sample_rate
        self.device = torch.device(device)
        self.weights = weights_of(cache, clip, weights)
        self._audio = torch.from_numpy(cache.audio).to(self.device)  # [C, N]
        self._noise = torch.Generator(self.device)
        self._drawer = Drawer(
            cache.of("train"), clip, self.weights, augmentation or AS_IT_IS, cache.sample_rate
        )

    def batch(self, step: int, size: int) -> Tensor:
        """Clips `[size, C, clip]` of a step, on the device."""
        draw = self._drawer.draw((self.seed, self.rank, step), size)
        sources = self._audible(self._sent(draw.starts), self._sent(draw.lengths))
        first, *others = torch.split(sources, [size, *(len(rows) for rows, _ in draw.further)])
        clips = first.clone()
        for source, (rows, levels) in zip(others, draw.further, strict=True):
            if not len(rows):
                continue
            index = self._sent(rows)
            clips[index] = mixed(clips[index], source, self._sent(levels), first[index])
        if len(draw.rooms.rows):
            index = self._sent(draw.rooms.rows)
            clips[index] = reverberated(clips[index], self._responses(draw.rooms, step))
        return self._worn(levelled(clips, self._sent(draw.factors)), draw.wear, step)

    def _worn(self, clips: Tensor, wear: Wear, step: int) -> Tensor:
        def noise_for(some: Tensor) -> Tensor:
            self._noise.manual_seed(seed_of(self.seed, "noise", step, self.rank))
            return torch.randn(some.shape, generator=self._noise, device=self.device)

        changes: list[tuple[tuple[Ints, Floats], Callable[[Tensor, Tensor], Tensor]]] = [
            (wear.noise, lambda some, db: noisy(some, noise_for(some), db)),
            (wear.bands, lambda some, hz: band_limited(some, hz, self.sample_rate or 0)),
            (wear.clipping, clipped),
            (wear.offsets, lambda some, offsets: some + offsets[:, None, None]),
        ]
        for (rows, values), change in changes:
            if len(rows):
                index = self._sent(rows)
                clips[index] = change(clips[index], self._sent(values))
        return clips

    def _audible(self, starts: Tensor, lengths: Tensor) -> Tensor:
        """`[S, C, clip]`: each source at the first of its `[S, TRIES]` places with sound."""
        tried = self._cut(starts.flatten(), lengths.flatten())
        audible = tried.square().mean(dim=(1, 2)) > AUDIBLE**2
        first = audible.view(-1, TRIES).int().argmax(dim=1)
        return tried[torch.arange(len(first), device=self.device) * TRIES + first]

    def _cut(self, starts: Tensor, lengths: Tensor) -> Tensor:
        """Clips `[n, C, clip]` from offsets `[n]` in the samples, zeros after `lengths` `[n]`."""
        time = torch.arange(self.clip, device=self.device)
        index = (starts[:, None] + time).clamp(max=self._audio.shape[1] - 1)
        clips = self._audio[:, index].transpose(0, 1) / 32768
        if clips.shape[1] > self.channels:
            clips = clips.mean(dim=1, keepdim=True)
        clips = clips * (time < lengths[:, None])[:, None]
        return clips.expand(-1, self.channels, -1)

    def _responses(self, rooms: Rooms, step: int) -> Tensor:
        """The rooms' impulse responses `[R, C, clip]`, their noise drawn on the device."""
        rate = self.sample_rate or 0
        self._noise.manual_seed(seed_of(self.seed, "rooms", step, self.rank))
        shape = len(rooms.rows), self.channels, max(1, round(float(rooms.rt60.max()) * rate))
        return room_responses(
            torch.randn(shape, generator=self._noise, device=self.device),
            self._sent(rooms.rt60),
            self._sent(rooms.direct_db),
            self._sent(rooms.delay),
            self.clip,
            rate,
        )

    def _sent(self, values: npt.NDArray[np.generic]) -> Tensor:
        tensor = torch.from_numpy(values)
        if self.device.type == "cuda":
            tensor = tensor.pin_memory()
        return tensor.to(self.device, non_blocking=True)


def fits(cache: AudioCache, device: torch.device) -> bool:
    """Whether the cache's samples fit into half of a CUDA device's free memory."""
    if device.type != "cuda":
        return False
    free, _ = torch.cuda.mem_get_info(device)
    return cache.audio.nbytes <= free // 2


def weights_of(cache: AudioCache, clip: int, weights: Mapping[str, float]) -> dict[str, float]:
    """How often each category of the cache is drawn, for clips of `clip` samples.

    Raises what `ClipSampler` raises.
    """
    if any(weight < 0 for weight in weights.values()) or clip < 1:
        raise SettingsError(f"weights {dict(weights)} of clips of {clip} samples cannot be")
    seconds: Counter[str] = Counter()
    for recording in cache.of("train"):
        seconds[recording.category] += recording.length
    wanted = weights or seconds
    there = {c: float(wanted[c]) for c in sorted(seconds) if wanted.get(c, 0) > 0}
    if not there:
        raise TrainingDataError(
            f"nothing to train on: the cache has training recordings of "
            f"{sorted(seconds) or 'nothing'}, asked for {sorted(wanted)}"
        )
    return there


def validation_clips(
    cache: AudioCache, seconds: float, limit: int | None = None
) -> Iterator[tuple[Recording, Tensor]]:
    """The middle `seconds` of every validation recording, `[C, n]`, always the same.

    Shorter recordings are used whole, silent ones are skipped; `limit` is the most of a category,
    spread evenly over it. Raises `TrainingDataError` if the cache's rate is unknown.
    """
    if cache.sample_rate is None:
        raise TrainingDataError("the sample rate of the cache is not known: give it to AudioCache")
    wanted = round(seconds * cache.sample_rate)
    for category in sorted({r.category for r in cache.of("valid")}):
        recordings = cache.of("valid", category)
        count = len(recordings) if limit is None else min(limit, len(recordings))
        for index in range(count):
            recording = recordings[index * len(recordings) // count]
            length = min(wanted, recording.length)
            clip = cache.read(recording, (recording.length - length) // 2, length)
            if float(clip.square().mean()) > AUDIBLE**2:
                yield recording, clip
