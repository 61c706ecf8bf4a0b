"""Resampling in blocks, equal to `torchaudio.transforms.Resample` over the whole file at once.

The input is always cut at the same places, whatever the sizes of the blocks that are pushed, so the
output depends on the samples alone, to the bit. It is computed with numpy: a process that decodes
an upload is then forked from one without torch, in a tenth of the time and memory.
"""

import math
from collections import deque
from collections.abc import Iterator
from typing import Protocol

import numpy as np

from model_core.audio.samples import Samples
from model_core.audio.sinc import SincResampler

_MAX_KERNEL = 1 << 19  # numbers in torchaudio's kernel, above which each output is computed alone
_CHUNK = 32_768  # input samples of one convolution, about
_WIDTH = 6  # zero crossings on each side (torchaudio's lowpass_filter_width)
_ROLLOFF = 0.99


class Resampler(Protocol):
    """A stream of blocks at one rate in, blocks at another out."""

    def push(self, samples: Samples) -> Samples:
        """`[C, n]` -> the output that is certain by now, `[C, m]` with m >= 0."""

    def finish(self) -> Samples:
        """The rest; in all, `ceil(n · target_rate / source_rate)` samples for n pushed."""


def resampler(channels: int, source_rate: int, target_rate: int) -> Resampler:
    """The resampler for these rates (Hz): none, torchaudio's, or tap by tap for odd ratios."""
    if source_rate == target_rate:
        return _Same(channels)
    if kernel_is_small(source_rate, target_rate):
        return BlockResampler(channels, source_rate, target_rate)
    return SincResampler(channels, source_rate, target_rate)


def kernel_is_small(source_rate: int, target_rate: int) -> bool:
    """Whether torchaudio's kernel for these rates (Hz) is worth its memory: it has
    `new · (orig + 2 · width)` numbers, billions where the ratio `orig:new` does not reduce."""
    gcd = math.gcd(source_rate, target_rate)
    orig, new = source_rate // gcd, target_rate // gcd
    return new * (orig + 2 * _width(orig, new)) <= _MAX_KERNEL


def _width(orig: int, new: int) -> int:
    """Samples on each side that one output sample can depend on."""
    return math.ceil(_WIDTH * orig / (min(orig, new) * _ROLLOFF))


class _Same:
    def __init__(self, channels: int) -> None:
        self._nothing = np.zeros((channels, 0), np.float32)

    def push(self, samples: Samples) -> Samples:
        return samples

    def finish(self) -> Samples:
        return self._nothing


class SampleQueue:
    """Blocks in, windows out: gathers `[C, n]` blocks and gives the first samples as one array."""

    def __init__(self, channels: int, zeros: int = 0) -> None:
        self._channels = channels
        self._blocks: deque[Samples] = deque()
        self.length = 0
        if zeros:
            self.push(np.zeros((channels, zeros), np.float32))

    def push(self, samples: Samples) -> None:
        """Appends `[C, n]`."""
        if samples.shape[1]:
            self._blocks.append(samples)
            self.length += samples.shape[1]

    def take(self, count: int, keep: int = 0) -> Samples:
        """The first `count` samples, of which the last `keep` stay in the queue."""
        parts: list[Samples] = []
        missing = count
        while missing:
            block = self._blocks.popleft()
            if block.shape[1] > missing:
                self._blocks.appendleft(block[:, missing:])
                block = block[:, :missing]
            parts.append(block)
            missing -= block.shape[1]
        taken = np.concatenate(parts, axis=1) if parts else self.empty()
        self.length -= count
        if keep:
            self._blocks.appendleft(taken[:, count - keep :])
            self.length += keep
        return taken

    def empty(self) -> Samples:
        """`[C, 0]`."""
        return np.zeros((self._channels, 0), np.float32)


class BlockResampler:
    """torchaudio's windowed sinc, run on overlapping windows.

    `orig` input samples (a frame) make `new` output samples. The window of a run is

        | P frames | M frames of which the output is kept | P frames |

    with P frames at least as long as half the filter, so what is kept never sees the window's edge.
    """

    def __init__(self, channels: int, source_rate: int, target_rate: int) -> None:
        gcd = math.gcd(source_rate, target_rate)
        self._orig, self._new = source_rate // gcd, target_rate // gcd
        self._kernel = _kernel(self._orig, self._new)
        self._margin = math.ceil(_width(self._orig, self._new) / self._orig)  # P
        self._frames = max(1, _CHUNK // self._orig)  # M
        self._queue = SampleQueue(channels, zeros=self._margin * self._orig)

    def push(self, samples: Samples) -> Samples:
        """See `Resampler`."""
        self._queue.push(samples)
        window = (2 * self._margin + self._frames) * self._orig
        parts: list[Samples] = []
        while self._queue.length >= window:
            taken = self._queue.take(window, keep=2 * self._margin * self._orig)
            start = self._margin * self._new
            parts.append(self._run(taken)[:, start : start + self._frames * self._new])
        return np.concatenate(parts, axis=1) if parts else self._queue.empty()

    def finish(self) -> Samples:
        """See `Resampler`."""
        rest = self._queue.length
        if rest == self._margin * self._orig:
            return self._queue.empty()
        start = self._margin * self._new
        return self._run(self._queue.take(rest))[:, start:]

    def _run(self, window: Samples) -> Samples:
        """torchaudio's `Resample` of `[C, n]`: zeros around it, each frame under all filters."""
        length = window.shape[1]
        side = _width(self._orig, self._new)
        padded = np.pad(window, ((0, 0), (side, side + self._orig)))
        frames = (padded.shape[1] - side - side) // self._orig
        made = np.zeros((len(window), frames, self._new), np.float32)
        # Tap by tap: a matrix product would add in an order that depends on its threads.
        for products in self._taps(padded, frames):
            made += products
        flat: Samples = made.reshape(len(window), -1)
        return flat[:, : -(-length * self._new // self._orig)]

    def _taps(self, padded: Samples, frames: int) -> Iterator[Samples]:
        """What each tap of the filters adds to their outputs, `[C, frames, new]`."""
        width = 2 * _width(self._orig, self._new) + 2
        if len(self._kernel) <= 3 * width:
            for tap, filters in enumerate(self._kernel):
                under = padded[:, tap : tap + (frames - 1) * self._orig + 1 : self._orig]
                yield under[..., None] * filters
            return
        # A filter has few taps that are not 0: from the sample on that its output lies at.
        starts = np.arange(self._new) * self._orig // self._new
        places = np.arange(frames)[:, None] * self._orig + starts
        padded = np.pad(padded, ((0, 0), (0, 1)))
        kernel = np.pad(self._kernel, ((0, 1), (0, 0)))
        for tap in range(width):
            products = np.take(padded, places + tap, axis=1)
            products *= kernel[starts + tap, np.arange(self._new)]
            yield products


def _kernel(orig: int, new: int) -> Samples:
    """The filters of all outputs of a frame, `[orig + 2 · width, new]`.

    torchaudio/functional/functional.py `_get_sinc_resample_kernel`, its float32 phase included.
    """
    base = min(orig, new) * _ROLLOFF
    side = _width(orig, new)
    taps = np.arange(-side, side + orig, dtype=np.float64) / orig
    phases = np.arange(new).astype(np.float32) / np.float32(new)
    t = np.clip(base * (taps[:, None] - phases), -_WIDTH, _WIDTH)
    window = np.cos(t * math.pi / _WIDTH / 2) ** 2
    kernel = np.sinc(t) * window * (base / orig)
    return kernel.astype(np.float32)
