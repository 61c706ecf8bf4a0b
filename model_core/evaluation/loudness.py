"""Brings the versions of a clip to the loudness of the original, so that none is told by its level.

Loudness is that of ITU-R BS.1770-4, gated. What is moved is said with the version: a listener does
not hear then that a codec changes levels.
"""

from collections.abc import Sequence

import numpy as np
import torch
from torchaudio.functional import loudness as bs1770

MOST = 6.0
"""dB; a version farther from the original is broken rather than quiet, and stays as it is."""
_PEAK = 10 ** (-0.1 / 20)  # of the loudest version of a clip, where one would clip
_FADE = 0.005  # s, at both ends, so that a loop does not click


def loudness(samples: np.ndarray, sample_rate: int) -> float:
    """LKFS of `[C, n]`, at least 0.4 s; not finite for silence."""
    return float(bs1770(torch.from_numpy(np.ascontiguousarray(samples, np.float32)), sample_rate))


def levelled(
    original: np.ndarray, versions: Sequence[np.ndarray], sample_rate: int
) -> tuple[list[np.ndarray], list[float | None]]:
    """The original and its versions, all `[C, n]`, as they can be compared; and by how many dB each
    version was moved, None where it was not.

    If one would clip, all are made quieter by the same factor.
    """
    wanted = loudness(original, sample_rate)
    gains = [wanted - loudness(version, sample_rate) for version in versions]
    known = [
        gain if abs(gain) <= MOST else None for gain in gains
    ]  # None for one that is not finite
    moved = [original] + [
        version * np.float32(10 ** ((gain or 0.0) / 20))
        for version, gain in zip(versions, known, strict=True)
    ]
    peak = max(float(np.abs(version).max()) for version in moved)
    factor = np.float32(min(1.0, _PEAK / peak)) if peak > 0 else np.float32(1)
    edges = _edges(original.shape[1], round(_FADE * sample_rate))
    return [version * factor * edges for version in moved], known


def _edges(length: int, fade: int) -> np.ndarray:
    """Ones `[length]` with half a cosine at both ends."""
    edges = np.ones(length, np.float32)
    rise = (0.5 - 0.5 * np.cos(np.pi * np.arange(fade) / fade)).astype(np.float32)
    edges[:fade], edges[length - fade :] = rise, rise[::-1]
    return edges
