"""Training clips, cut and augmented on the device in batches, from samples in its memory."""

from collections.abc import Callable, Mapping

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

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
from .cache import AudioCache
from .draw import TRIES, Drawer, Floats, Ints, Rooms, Wear
from .sampler import AUDIBLE, weights_of


class DeviceSampler:
    """Like `ClipSampler`, but on a device with the cache's samples, int16, in its memory.

    Batches are a pure function of `(seed, rank, step)` too, but other ones. Only the random draws
    are sent to the device, and nothing is read from it, so the host does not wait. Raises what
    `ClipSampler` raises.
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
        self._audio = torch.from_numpy(np.array(cache.audio, order="C")).to(self.device)  # [C, N]
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
