"""Recordings as they often are: quiet, noisy, clipped, dull, or with a constant offset.

The codec is to give back what it is given, so the changed recording is what it is compared with.
"""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from ..training.data.batched import band_limited, clipped, factor, noisy, rms

_QUIET = -45.0  # dBFS, RMS
_NOISE = -20.0  # dB relative to the clip
_LIMIT = -6.0  # dB relative to the peak
_BAND = 3000.0  # Hz
_OFFSET = 0.01
_SEED = 1

Condition = Callable[[Tensor, int], Tensor]
"""From clips `[1, C, T]` at a rate (Hz)."""


def _quiet(clip: Tensor, rate: int) -> Tensor:
    return clip * (factor(torch.tensor([_QUIET])) / rms(clip))


def _noisy(clip: Tensor, rate: int) -> Tensor:
    noise = torch.randn(clip.shape, generator=torch.Generator().manual_seed(_SEED))
    return noisy(clip, noise, torch.tensor([_NOISE]))


CONDITIONS: dict[str, tuple[str, Condition]] = {
    "quiet": (f"{_QUIET:g} dBFS", _quiet),
    "noisy": (f"white noise at {_NOISE:g} dB", _noisy),
    "clipped": (
        f"at {_LIMIT:g} dB of the peak",
        lambda clip, rate: clipped(clip, torch.tensor([_LIMIT])),
    ),
    "dull": (
        f"nothing above {_BAND:g} Hz",
        lambda clip, rate: band_limited(clip, torch.tensor([_BAND]), rate),
    ),
    "offset": (f"moved by {_OFFSET:g}", lambda clip, rate: clip + _OFFSET),
}
"""What each is, and does."""


def changed(samples: np.ndarray, condition: str, rate: int) -> np.ndarray:
    """Samples `[C, n]` at `rate` (Hz), not silent, in a condition."""
    _, change = CONDITIONS[condition]
    found: np.ndarray = change(torch.from_numpy(samples)[None], rate)[0].contiguous().numpy()
    return found
