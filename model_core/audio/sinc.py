"""torchaudio's windowed sinc, one output sample at a time.

torchaudio builds a kernel of `new · (orig + 2 · width)` numbers for the reduced ratio `orig:new`:
gigabytes for 44 101 -> 24 000 Hz, nearly all of them zero. Here each output takes only the taps
under its own window (about 12 · max(1, orig / new)), from the same formula
(torchaudio/functional/functional.py `_get_sinc_resample_kernel`), its float32 phase included:

    y[n] = Σ_i x[i] · scale · sinc(t) · cos²(π t / 12)
    t = base · (i / orig − n / new),  base = 0.99 · min(orig, new),  scale = base / orig
"""

import math

import numpy as np
import numpy.typing as npt

from model_core.audio.samples import Samples

_WIDTH = 6  # zero crossings on each side
_ROLLOFF = 0.99
_PRODUCTS = 1 << 17  # taps · outputs evaluated at once
_PIECE = 1 << 16  # input samples taken up at once: bounds what is moved after each run


class SincResampler:
    """See `resample.Resampler`; for ratios that do not reduce to small numbers."""

    def __init__(self, channels: int, source_rate: int, target_rate: int) -> None:
        gcd = math.gcd(source_rate, target_rate)
        self._orig, self._new = source_rate // gcd, target_rate // gcd
        self._base = min(self._orig, self._new) * _ROLLOFF
        self._half = math.ceil(_WIDTH * self._orig / self._base) + 1
        taps = 2 * self._half + 1
        offsets = np.arange(-self._half, self._half + 1, dtype=np.float64) / self._orig
        self._t = self._base * offsets  # [taps]
        self._sin, self._cos = np.sin(math.pi * self._t), np.cos(math.pi * self._t)
        window = math.pi / _WIDTH
        self._window_sin, self._window_cos = np.sin(window * self._t), np.cos(window * self._t)
        self._outputs = max(64, _PRODUCTS // taps)  # of one run
        # The buffer holds the input from sample `_first` on; zeros stand before the beginning.
        self._buffer = np.zeros((channels, self._half), np.float32)
        self._pending: list[Samples] = []
        self._first = -self._half
        self._received = 0
        self._made = 0

    def push(self, samples: Samples) -> Samples:
        """See `resample.Resampler`."""
        parts = []
        for start in range(0, samples.shape[1], _PIECE):
            piece = samples[:, start : start + _PIECE]
            self._received += piece.shape[1]
            self._pending.append(piece)
            while self._last_needed(self._outputs) < self._received:
                parts.append(self._run(self._outputs))
        return np.concatenate([self._buffer[:, :0], *parts], axis=1)

    def finish(self) -> Samples:
        """See `resample.Resampler`."""
        total = -(-self._received * self._new // self._orig)
        self._pending.append(np.zeros((self._buffer.shape[0], 2 * self._half + 1), np.float32))
        parts = []
        while self._made < total:
            parts.append(self._run(min(self._outputs, total - self._made)))
        return np.concatenate([self._buffer[:, :0], *parts], axis=1)

    def _last_needed(self, count: int) -> int:
        """Index of the last input sample that the next `count` outputs depend on."""
        return (self._made + count - 1) * self._orig // self._new + self._half

    def _run(self, count: int) -> Samples:
        """The next `count` outputs, `[C, count]`."""
        if self._pending:
            self._buffer = np.concatenate([self._buffer, *self._pending], axis=1)
            self._pending = []
        # n = frame · new + phase, and the input sample under n is frame · orig + below.
        n = np.arange(self._made, self._made + count, dtype=np.int64)
        frame, phase = np.divmod(n, self._new)
        below = phase * self._orig // self._new
        kernel = self._kernel(below, phase)
        starts = frame * self._orig + below - self._half - self._first
        taps = kernel.shape[1]
        windows = np.lib.stride_tricks.sliding_window_view(self._buffer, taps, axis=1)
        made: Samples = (windows[:, starts] * kernel).sum(axis=-1)
        self._made += count
        self._drop()
        return made

    def _kernel(self, below: npt.NDArray[np.int64], phase: npt.NDArray[np.int64]) -> Samples:
        """Filter taps of each output, `[count, taps]` float32."""
        shift = below / self._orig - (phase.astype(np.float32) / np.float32(self._new))
        shift = (self._base * shift)[:, None]
        t = self._t + shift
        # sin(a + b) from tables: one sine for each output and each tap, not for each pair.
        sine = self._sin * np.cos(math.pi * shift) + self._cos * np.sin(math.pi * shift)
        angle = shift * (math.pi / _WIDTH)
        window = 0.5 + 0.5 * (self._window_cos * np.cos(angle) - self._window_sin * np.sin(angle))
        near = np.abs(t) < 1e-9
        kernel = np.where(near, 1.0, sine / np.where(near, 1.0, math.pi * t))
        kernel *= window * (self._base / self._orig)
        kernel[np.abs(t) >= _WIDTH] = 0.0
        return kernel.astype(np.float32)

    def _drop(self) -> None:
        """Forgets the input that no later output needs."""
        needed = self._made * self._orig // self._new - self._half
        if needed - self._first > 0:
            self._buffer = self._buffer[:, needed - self._first :].copy()
            self._first = needed
