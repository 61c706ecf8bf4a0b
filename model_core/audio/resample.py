"""Resampling in blocks, equal to `torchaudio.transforms.Resample` over the whole file at once.

The input is always cut at the same places, whatever the sizes of the pushed blocks, so the output
depends on the samples alone, bit for bit. It uses numpy, not torch: the process that decodes an
upload then forks from one without torch, in a tenth of the time and memory.
"""

import math
from collections import deque

import numpy as np
import numpy.typing as npt

from model_core.audio.samples import Samples

_CHUNK = 32_768  # input samples of one convolution, about; more at rates of which that is short
_LEAST_SECONDS = 0.2  # s of one convolution
_WIDTH = 6  # zero crossings on each side (torchaudio's lowpass_filter_width)
_ROLLOFF = 0.99


class Resampler:
    """A stream of blocks at one rate in, blocks at another out; this one changes nothing."""

    def __init__(self, channels: int) -> None:
        self._nothing = np.zeros((channels, 0), np.float32)

    def push(self, samples: Samples) -> Samples:
        """`[C, n]` -> the output that no later sample can change, `[C, m]` with m >= 0."""
        return samples

    def finish(self) -> Samples:
        """The rest: `ceil(n · target_rate / source_rate)` samples in total for n pushed."""
        return self._nothing


def resampler(channels: int, source_rate: int, target_rate: int, eager: bool = False) -> Resampler:
    """The resampler for these rates (Hz). An `eager` one gives the same samples as soon as they can
    be had, which costs more; the other collects about a second."""
    if source_rate == target_rate:
        return Resampler(channels)
    return BlockResampler(channels, source_rate, target_rate, eager)


class SampleQueue:
    """Blocks in, windows out: collects `[C, n]` blocks, returns the first samples as one array."""

    def __init__(self, channels: int) -> None:
        self._channels = channels
        self._blocks: deque[Samples] = deque()
        self.length = 0

    def push(self, samples: Samples) -> None:
        """Appends `[C, n]`."""
        if samples.shape[1]:
            self._blocks.append(samples)
            self.length += samples.shape[1]

    def push_zeros(self, count: int) -> None:
        """Appends silence, `[C, count]`."""
        self.push(np.zeros((self._channels, count), np.float32))

    def take(self, count: int, keep: int = 0) -> Samples:
        """The first `count` samples; the last `keep` of them stay in the queue."""
        parts: list[Samples] = []
        missing = count
        while missing:
            block = self._blocks.popleft()
            if block.shape[1] > missing:
                self._blocks.appendleft(block[:, missing:])
                block = block[:, :missing]
            parts.append(block)
            missing -= block.shape[1]
        taken = np.concatenate(parts, axis=1)
        self.length -= count
        if keep:
            self._blocks.appendleft(taken[:, count - keep :])
            self.length += keep
        return taken


class BlockResampler(Resampler):
    """torchaudio's windowed sinc, run on overlapping windows.

    `orig:new` is the reduced ratio: a frame of `orig` input samples gives `new` output samples.
    Each of the `new` filters reaches `side` samples to both sides of its output. A run takes

        | side | M frames | side + 1 |

    and keeps the last 2 · side + 1 samples for the next.

    torchaudio's kernel has `new · (orig + 2 · side)` numbers: gigabytes, nearly all of them zero,
    if the ratio does not reduce (44 101 to 24 000 Hz). Here each filter then holds only the taps
    under its own window.
    """

    def __init__(
        self, channels: int, source_rate: int, target_rate: int, eager: bool = False
    ) -> None:
        super().__init__(channels)
        self._eager = eager
        gcd = math.gcd(source_rate, target_rate)
        self._orig, self._new = source_rate // gcd, target_rate // gcd
        self._side = math.ceil(_WIDTH * self._orig / (min(self._orig, self._new) * _ROLLOFF))
        chunk = max(_CHUNK, int(_LEAST_SECONDS * source_rate))
        self._frames = max(1, chunk // self._orig)  # M
        taps, windowed = self._orig + 2 * self._side, 2 * self._side + 2
        self._whole = taps <= 3 * windowed  # few zeros: all filters start at the frame's first tap
        self._first = np.arange(self._new) * (0 if self._whole else self._orig) // self._new
        count = taps if self._whole else windowed
        self._kernel = np.empty((count, self._new), np.float32)  # up to tens of megabytes
        for tap in range(count):
            self._kernel[tap] = self._filters(self._first + tap)
        self._queue = SampleQueue(channels)
        self._queue.push_zeros(self._side)
        self._received = self._made = 0

    def _filters(self, taps: npt.NDArray[np.int64]) -> Samples:
        """Each filter's value at its tap of `taps` `[new]`, counted from a window's first sample.

        torchaudio/functional/functional.py `_get_sinc_resample_kernel`, its float32 phase included.
        """
        base = min(self._orig, self._new) * _ROLLOFF
        phases = np.arange(self._new).astype(np.float32) / np.float32(self._new)
        t = np.clip(base * ((taps - self._side) / self._orig - phases), -_WIDTH, _WIDTH)
        window = np.cos(t * math.pi / _WIDTH / 2) ** 2
        kernel = np.sinc(t) * window * (base / self._orig)
        return kernel.astype(np.float32)

    def push(self, samples: Samples) -> Samples:
        self._queue.push(samples)
        self._received += samples.shape[1]
        parts = [self._nothing]
        while self._queue.length >= self._window(self._frames):
            parts.append(self._run(self._frames))
        if self._eager and self._queue.length >= self._window(1):
            parts.append(self._run((self._queue.length - self._window(0)) // self._orig))
        return np.concatenate(parts, axis=1)

    def finish(self) -> Samples:
        missing = -(-self._received * self._new // self._orig) - self._made
        frames = -(-missing // self._new)
        if not frames:
            return self._nothing
        self._queue.push_zeros(self._window(frames) - self._queue.length)
        return self._run(frames)[:, :missing]

    def _window(self, frames: int) -> int:
        """The samples that `frames` frames of output depend on."""
        return frames * self._orig + 2 * self._side + 1

    def _run(self, frames: int) -> Samples:
        """The next frames of output, `[C, frames · new]`."""
        window = self._queue.take(self._window(frames), keep=2 * self._side + 1)
        last = (frames - 1) * self._orig  # start of the last frame
        starts = np.arange(frames)[:, None] * self._orig + self._first
        made = np.zeros((len(window), frames, self._new), np.float32)
        # Tap by tap: the order of additions in a matrix product depends on its threads.
        for tap, filters in enumerate(self._kernel):
            if self._whole:
                made += window[:, tap : tap + last + 1 : self._orig, None] * filters
            else:
                products = np.take(window, starts + tap, axis=1)
                products *= filters
                made += products
        self._made += frames * self._new
        return made.reshape(len(window), -1)
