"""Measures of how close decoded audio is to its original."""

import warnings
from dataclasses import dataclass
from functools import lru_cache
from importlib.util import find_spec
from typing import TYPE_CHECKING

import numpy as np
import torch
from torchaudio.functional import resample

from ..metrics import log_mel_distance, si_snr

if TYPE_CHECKING:
    from visqol import VisqolApi

PESQ_RATE = 16_000  # Hz, wideband
VISQOL_RATES = {"speech": 16_000, "audio": 48_000}  # Hz, by mode
EXTRAS = {"pesq": "pesq", "pystoi": "train", "visqol": "visqol"}
"""The extra of this project that installs each package with a measure."""


@dataclass(frozen=True)
class Scores:
    """Scores of one clip. PESQ and STOI are for speech; None if undefined for the clip, or not
    measured."""

    si_snr_db: float
    mel_db: float
    pesq: float | None = None
    stoi: float | None = None
    visqol: float | None = None


def missing_packages() -> list[str]:
    """The packages of `EXTRAS` that are not installed."""
    return [name for name in EXTRAS if find_spec(name) is None]


def scores(reference: np.ndarray, estimate: np.ndarray, sample_rate: int, speech: bool) -> Scores:
    """Compare two clips `[C, n]` of the same length; channels are averaged.

    For speech, PESQ and STOI are computed on the mono mix where they are installed. ViSQOL, which
    takes long, is not among them: `visqol`.
    """
    pair = torch.from_numpy(reference), torch.from_numpy(estimate)
    snr = float(si_snr(*pair).mean())
    mel = float(log_mel_distance(*pair, sample_rate).mean())
    if not speech:
        return Scores(snr, mel)
    missing = missing_packages()
    mono = reference.mean(0), estimate.mean(0)
    return Scores(
        snr,
        mel,
        None if "pesq" in missing else pesq(*mono, sample_rate),
        None if "pystoi" in missing else stoi(*mono, sample_rate),
    )


def pesq(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """ITU-T P.862.2, wideband, of two mono clips `[n]`: 1 … 4.64. None for a clip that is too
    short, or in which no speech is found."""
    from pesq import NoUtterancesError, PesqError
    from pesq import pesq as wideband

    pair = [
        resample(torch.from_numpy(x), sample_rate, PESQ_RATE).numpy() for x in (reference, estimate)
    ]
    if not all(np.abs(x).max() > 0 for x in pair):
        return None
    try:
        return float(wideband(PESQ_RATE, *pair, "wb"))
    except (PesqError, NoUtterancesError, ValueError):
        return None


def stoi(reference: np.ndarray, estimate: np.ndarray, sample_rate: int) -> float | None:
    """Short-time objective intelligibility (Taal 2011) of two mono clips `[n]`: 0 … 1. None for a
    clip with too little that is not silence."""
    from pystoi import stoi as intelligibility

    with warnings.catch_warnings():
        warnings.simplefilter("error", RuntimeWarning)  # its warning that a clip is too short
        try:
            return float(intelligibility(reference, estimate, sample_rate))
        except (RuntimeWarning, ValueError):
            return None


def visqol(
    reference: np.ndarray, estimate: np.ndarray, sample_rate: int, speech: bool
) -> float | None:
    """ViSQOL 3 (Chinen et al. 2020) on the mono mix of two clips `[C, n]`: MOS-LQO, 1 … 5.

    Its mode for speech, with the mapping by a polynomial, or that for audio, whose top is 4.73: two
    scales. None for a clip that is too short or silent.
    """
    mode = "speech" if speech else "audio"
    rate = VISQOL_RATES[mode]
    first, second = (
        resample(torch.from_numpy(x.mean(0)), sample_rate, rate).numpy()
        for x in (reference, estimate)
    )
    if not (np.abs(first).max() > 0 and np.abs(second).max() > 0):
        return None
    try:
        return float(_visqol(mode).measure_from_arrays(first, second, rate).moslqo)
    except (ValueError, IndexError):  # of clips below 0.6 s
        return None


@lru_cache
def _visqol(mode: str) -> "VisqolApi":
    from visqol import VisqolApi

    api = VisqolApi()
    api.create(mode=mode, use_lattice_model=False)  # else it depends on what else is installed
    return api
