"""What the reference codes badly though the bitstream allows better. At effort 0 it is found and
said (`InputWarning`); from effort 1 on it is put right before the networks see the audio.

A constant offset, which most weights turn into noise, is removed. Stereo in opposite phase cancels
in the mean of the channels, whose loudness is the scale of a segment: the scale gets a lower bound.
"""

import math
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np

_WINDOWS = 10
"""Windows in a second: the offset is estimated from their means."""
_SECONDS = 5
"""Over which it is estimated."""
_FEWEST = 5
"""Windows that an estimate needs."""
_SURE = 4
"""Standard errors that an estimate must exceed."""
_SMALLEST = 1e-3
"""Of full scale (1): smaller offsets are left, and do no harm."""
_AUDIBLE_OFFSET = 2e-3
"""From here on effort 0 warns."""

LEAST_SCALE = 0.7
"""The scale is not below this share of the root mean square over all channels. Ordinary stereo is
above: channels of equal loudness that have nothing in common, or one that is silent, are at
0.707."""
_QUIETER = 2
"""How many times too quiet (6 dB) a segment comes back before effort 0 warns."""
_SILENCE = 1e-4
"""Root mean square of a segment that nobody would miss."""


@dataclass(frozen=True)
class InputWarning:
    """Something in the audio that comes back worse at effort 0 than from effort 1 on."""

    code: str
    """`constant-offset` or `opposite-phase`."""
    values: Mapping[str, float]
    """How bad it is."""
    text: str

    def field(self) -> str:
        """As an item of a structured HTTP field (RFC 9651)."""
        return "".join([self.code, *(f";{key}={value:g}" for key, value in self.values.items())])


class OffsetFilter:
    """Takes the constant offset of each channel off a stream.

    The offset of a second is estimated from the five seconds before it; that of the first second,
    from itself. Over a second it moves from one estimate to the next in a line. Audio without an
    offset is not changed by a bit.

    Results do not depend on how the samples are pushed. The filter holds back the first second,
    and then less than 0.1 s.
    """

    def __init__(self, channels: int, sample_rate: int):
        self._window = sample_rate // _WINDOWS
        self._waiting = np.zeros((channels, 0), np.float32)
        self._means = deque[np.ndarray](maxlen=_WINDOWS * _SECONDS)
        self._done = 0  # windows
        self._from = self._to = np.zeros(channels)  # the offset over the current second

    def push(self, samples: np.ndarray) -> np.ndarray:
        """Take samples `[C, n]`; returns those that are done."""
        self._waiting = np.concatenate([self._waiting, samples], axis=1)
        whole = self._waiting.shape[1] // self._window
        return self._take(whole) if self._done or whole >= _WINDOWS else self._waiting[:, :0]

    def finish(self) -> np.ndarray:
        """End the stream; returns the rest of its samples."""
        done = self._take(self._waiting.shape[1] // self._window)
        return np.concatenate([done, self._corrected(self._waiting)], axis=1)

    def _take(self, whole: int) -> np.ndarray:
        """The next `whole` windows."""
        taken, self._waiting = np.split(self._waiting, [whole * self._window], axis=1)
        means = _means(taken, self._window)
        if not self._done:
            self._from = self._to = _offset(means[:, :_WINDOWS], self._to)
        done = [taken[:, :0]]
        for number in range(whole):
            if self._done and self._done % _WINDOWS == 0:
                self._from = self._to
                self._to = _offset(np.stack(self._means, axis=1), self._to)
            begin = number * self._window
            done.append(self._corrected(taken[:, begin : begin + self._window]))
            self._means.append(means[:, number])
            self._done += 1
        return np.concatenate(done, axis=1)

    def _corrected(self, samples: np.ndarray) -> np.ndarray:
        """Samples of the current window, or its beginning."""
        if not (self._from.any() or self._to.any()):
            return samples
        first = self._done % _WINDOWS * self._window
        place = np.arange(first, first + samples.shape[1]) / (_WINDOWS * self._window)
        offset = self._from[:, None] + (self._to - self._from)[:, None] * place
        return (samples - offset).astype(samples.dtype)


class OffsetMeter:
    """Finds the largest constant offset of a stream, over five seconds at a time."""

    def __init__(self, sample_rate: int):
        self._window = sample_rate // _WINDOWS
        self._means: list[np.ndarray] = []
        self.largest = 0.0

    def add(self, samples: np.ndarray) -> None:
        """The next samples `[C, n]`, about a second."""
        self._means.append(_means(samples, self._window))
        if len(self._means) == _SECONDS:
            self._renew()

    def _renew(self) -> None:
        means = np.concatenate(self._means, axis=1)
        found = _offset(means, np.zeros(len(means)))
        self.largest = max(self.largest, float(np.abs(found).max()))
        self._means.clear()

    def warning(self) -> InputWarning | None:
        """What effort 0 makes of it, at the end of the stream."""
        if self._means:
            self._renew()
        if self.largest < _AUDIBLE_OFFSET:
            return None
        text = f"a constant offset of {self.largest:.4f} turns into noise"
        return InputWarning("constant-offset", {"offset": round(self.largest, 3)}, text)


def _means(samples: np.ndarray, window: int) -> np.ndarray:
    """`[C, n]` of the whole windows of samples `[C, T]`."""
    count = samples.shape[1] // window
    return samples[:, : count * window].reshape(len(samples), count, window).mean(axis=2)


def _offset(means: np.ndarray, before: np.ndarray) -> np.ndarray:
    """The offset `[C]` by the means `[C, n]` of windows of 0.1 s: their median.

    It counts where it is well above its own error, as that of a real offset is and that of the
    lowest notes is not. Where that is not certain, it is the one `before`.
    """
    count = means.shape[1]
    if count < _FEWEST:
        return before
    middle = np.median(means, axis=1)
    deviation = 1.4826 * np.median(np.abs(means - middle[:, None]), axis=1)
    error = 1.25 * deviation / math.sqrt(count)  # of a median
    certain = _SURE * error <= np.maximum(np.abs(middle), _SMALLEST)
    found = np.where(np.abs(middle) >= _SMALLEST, middle, 0)
    return np.where(certain, found, before)


def least_scale(samples: np.ndarray) -> float:
    """The lower bound of the scale of a segment `[C, n]` from effort 1 on."""
    return LEAST_SCALE * math.sqrt(np.square(samples, dtype=np.float64).mean())


class CancellingSegments:
    """Counts the segments whose channels cancel in the mean that their scale is taken from."""

    def __init__(self) -> None:
        self._all = self._cancelling = 0
        self._most = 0.0  # how many times too quiet

    def add(self, samples: np.ndarray, scale: float) -> None:
        """A segment `[C, n]` and the scale that it was coded at."""
        self._all += 1
        rms = math.sqrt(np.vdot(samples, samples) / samples.size)
        if rms > _SILENCE and rms > _QUIETER * scale:
            self._cancelling += 1
            self._most = max(self._most, rms / scale)

    def warning(self) -> InputWarning | None:
        """What effort 0 makes of them."""
        if not self._cancelling:
            return None
        decibels = round(min(20 * math.log10(self._most), 120))
        text = (
            f"in {self._cancelling} of {self._all} seconds the channels are in opposite phase and "
            f"come back up to {decibels} dB too quiet"
        )
        values = {"segments": self._cancelling, "of": self._all, "decibels": decibels}
        return InputWarning("opposite-phase", values, text)
