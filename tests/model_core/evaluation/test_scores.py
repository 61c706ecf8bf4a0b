"""Measures on audio whose score is known."""

from importlib.util import find_spec

import numpy as np
import pytest

from model_core.evaluation.scores import pesq, scores, stoi, visqol

from .conftest import RATE, audio

needs_visqol = pytest.mark.skipif(find_spec("visqol") is None, reason="visqol is not installed")
needs_pesq = pytest.mark.skipif(find_spec("pesq") is None, reason="pesq is not installed")


def voiced(seconds: float = 3.0) -> np.ndarray:
    """Harmonics of 120 Hz in syllables four times a second, `[1, n]`: taken for speech."""
    t = np.arange(round(seconds * RATE)) / RATE
    tone = sum(np.sin(2 * np.pi * 120 * k * t + k * k) / k for k in range(1, 25))
    syllables = np.clip(np.sin(2 * np.pi * 4 * t), 0, None)
    return (0.1 * tone * syllables)[None].astype(np.float32)


def with_noise(x: np.ndarray, snr_db: float) -> np.ndarray:
    """Plus noise that is orthogonal to it, at exactly that ratio."""
    noise = np.random.default_rng(0).normal(size=x.shape)
    noise -= noise.mean()
    flat = x - x.mean()
    noise -= (noise * flat).sum() / (flat**2).sum() * flat
    noise *= np.sqrt((flat**2).sum() / (noise**2).sum()) * 10 ** (-snr_db / 20)
    return (x + noise).astype(np.float32)


def test_the_same_audio_is_perfect() -> None:
    x = voiced()
    same = scores(x, x.copy(), RATE, speech=True)
    assert same.mel_db == 0
    assert same.si_snr_db > 60
    assert same.stoi == pytest.approx(1.0, abs=1e-6)


@pytest.mark.parametrize("snr", [0.0, 5.0, 20.0])
def test_known_noise_gives_its_ratio_at_any_volume(snr: float) -> None:
    x = voiced()
    assert scores(x, 0.3 * with_noise(x, snr), RATE, speech=False).si_snr_db == pytest.approx(
        snr, abs=0.01
    )


def test_half_the_volume_is_six_decibels_of_mel() -> None:
    x = np.random.default_rng(1).normal(0, 0.1, (1, RATE)).astype(np.float32)
    assert scores(x, x / 2, RATE, speech=False).mel_db == pytest.approx(6.02, abs=0.01)


def test_more_noise_is_worse_for_speech() -> None:
    x = voiced()
    worse, better = (scores(x, with_noise(x, snr), RATE, speech=True) for snr in (-10, 25))
    assert worse.stoi is not None
    assert better.stoi is not None
    assert worse.stoi < better.stoi < 1


def test_speech_is_measured_on_the_mix_and_other_kinds_without() -> None:
    x = np.concatenate([voiced(), voiced()[:, ::-1]])
    assert scores(x, x[::-1].copy(), RATE, speech=True).stoi == pytest.approx(1.0, abs=1e-6)
    other = scores(x, x, RATE, speech=False)
    assert (other.pesq, other.stoi) == (None, None)


def test_clips_that_a_measure_cannot_take_have_none() -> None:
    x = voiced(0.2)
    assert stoi(x[0], x[0], RATE) is None


@needs_pesq
def test_pesq_rises_to_its_top() -> None:
    x = voiced()
    worse, better, same = (
        scores(x, y, RATE, speech=True).pesq
        for y in (with_noise(x, -10), with_noise(x, 25), x.copy())
    )
    assert worse is not None
    assert better is not None
    assert worse < better < 4.6
    assert same == pytest.approx(4.644, abs=0.01)  # the top of P.862.2


@needs_pesq
def test_pesq_of_next_to_nothing_is_none() -> None:
    x = voiced(0.2)
    assert pesq(x[0], x[0], RATE) is None
    assert pesq(voiced()[0], np.zeros(3 * RATE, np.float32), RATE) is None


@needs_visqol
def test_visqol_of_the_same_audio_is_that_of_the_original_program() -> None:
    x = voiced(1.0)
    assert visqol(x, x.copy(), RATE, speech=True) == pytest.approx(5.0, abs=1e-3)
    # What its conformance test gives for a recording and itself.
    assert visqol(x, x.copy(), RATE, speech=False) == pytest.approx(4.7321010, abs=1e-5)


@needs_visqol
@pytest.mark.parametrize("speech", [True, False])
def test_visqol_falls_with_noise_and_knows_no_level(speech: bool) -> None:
    x = voiced(1.0) if speech else audio(1.0)
    worse, better = (visqol(x, with_noise(x, snr), RATE, speech) for snr in (0, 30))
    assert worse is not None
    assert better is not None
    assert 1 <= worse < better - 0.5 < 4.5
    quiet = visqol(x, 0.5 * with_noise(x, 30), RATE, speech)
    assert quiet == pytest.approx(better, abs=0.02)


@needs_visqol
def test_visqol_of_next_to_nothing_is_none() -> None:
    x = voiced(0.2)
    assert visqol(x, x, RATE, speech=True) is None
    assert visqol(x, x, RATE, speech=False) is None
    assert visqol(voiced(), np.zeros_like(voiced()), RATE, speech=True) is None
