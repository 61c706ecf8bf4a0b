"""Removes the delay of another codec, so that sample-by-sample measures see only its quality."""

import numpy as np

LONGEST = 0.25
"""Seconds, the longest delay to find; that of MP3 at 8 kHz is 0.14 s."""


def delay(reference: np.ndarray, estimate: np.ndarray, most: int) -> int:
    """The samples, at most `most`, by which `estimate` `[C, n]` lags behind `reference` `[C, m]`.

    The maximum of their cross-correlation, computed by FFT; negative if `estimate` leads.
    """
    length = max(reference.shape[1], estimate.shape[1]) + most
    spectra = (np.fft.rfft(x.mean(0, dtype=np.float64), length) for x in (reference, estimate))
    first, second = spectra
    correlation = np.fft.irfft(np.conj(first) * second, length)
    lags = np.arange(-most, most + 1)
    return int(lags[np.argmax(correlation[lags])])


def aligned(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> np.ndarray:
    """`estimate` without its delay, cut or filled with zeros to the length of `reference`."""
    lag = delay(reference, estimate, round(LONGEST * sample_rate))
    moved = estimate[:, lag:] if lag >= 0 else np.pad(estimate, ((0, 0), (-lag, 0)))
    moved = moved[:, : reference.shape[1]]
    return np.pad(moved, ((0, 0), (0, reference.shape[1] - moved.shape[1])))
