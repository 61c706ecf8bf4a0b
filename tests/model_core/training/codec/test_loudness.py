"""The loss of loudness: it ranks as PESQ does, and hears a quiet clip as well as a loud one."""

from importlib.util import find_spec

import numpy as np
import pytest
import torch
from torch import Tensor
from torchaudio.functional import resample

from model_core.config import CONFIGS
from model_core.nn.network import EncodecNetwork
from model_core.training.codec.loudness import LoudnessLoss, bark, hertz
from model_core.training.codec.settings import CodecSettings
from model_core.training.codec.step import CodecStep
from tests.signals import signal

RATE = 24_000


@pytest.fixture
def clip() -> Tensor:
    return signal(1, 12_000, RATE)[None]


def voiced(seconds: float = 3.0) -> Tensor:
    """Harmonics of 120 Hz in syllables four times a second: taken for speech."""
    t = torch.arange(round(seconds * RATE)) / RATE
    tone = sum(torch.sin(2 * torch.pi * 120 * k * t + k * k) / k for k in range(1, 60))
    return (0.1 * tone * torch.sin(2 * torch.pi * 4 * t).clamp(min=0))[None, None]


def test_equal_clips_are_no_distance_apart(clip: Tensor) -> None:
    loss = LoudnessLoss(RATE)
    assert loss(clip, clip) < 0.01
    assert loss(clip, clip + 0.01 * torch.randn(clip.shape)) > 0.1


@pytest.mark.skipif(find_spec("pesq") is None, reason="pesq is not installed")
def test_it_ranks_as_pesq_does() -> None:
    from pesq import pesq

    clean, generator = voiced(), torch.Generator().manual_seed(1)
    noise = torch.randn(clean.shape, generator=generator)
    level = clean.square().mean().sqrt()
    worse = [clean + noise * level * 10 ** (-db / 20) for db in (0, 10, 20, 30, 40)]
    worse += [clean.clamp(-limit, limit) for limit in (0.05, 0.1, 0.2)]
    worse += [resample(resample(clean, RATE, rate), rate, RATE) for rate in (2000, 4000, 8000)]
    scores = [
        pesq(16_000, *(resample(x[0, 0], RATE, 16_000).numpy() for x in (clean, y)), "wb")
        for y in worse
    ]
    losses = [float(LoudnessLoss(RATE)(clean, y)) for y in worse]
    ranks = [np.argsort(np.argsort(values)) for values in (scores, np.negative(losses))]
    assert np.asarray(np.corrcoef(ranks))[0, 1] > 0.85


def test_a_quiet_clip_counts_as_a_loud_one(clip: Tensor) -> None:
    loss = LoudnessLoss(RATE)
    worse = clip + 0.3 * clip.roll(7, -1)
    assert loss(0.01 * clip, 0.01 * worse) == pytest.approx(float(loss(clip, worse)), rel=1e-3)


@pytest.mark.parametrize("length", [768, 12_000])
def test_it_can_be_followed_from_silence_and_from_the_same(clip: Tensor, length: int) -> None:
    clip = clip[..., :length]
    for start in (torch.zeros_like(clip), clip.clone(), 0.1 * clip):
        estimate = start.requires_grad_()
        LoudnessLoss(RATE)(clip, estimate).backward()
        assert estimate.grad is not None
        assert estimate.grad.isfinite().all()
    louder = (clip + 0.1 * clip.roll(5, -1)).requires_grad_()
    LoudnessLoss(RATE)(clip, louder).backward()
    assert louder.grad is not None
    assert length == 768 or louder.grad.abs().max() > 0  # one frame alone is evened out
    silent = torch.zeros_like(clip)
    assert LoudnessLoss(RATE)(silent, silent).isfinite()


def test_bark_has_an_inverse() -> None:
    frequencies = torch.tensor([20.0, 1000.0, 8000.0])
    torch.testing.assert_close(hertz(bark(frequencies)), frequencies)
    assert float(bark(torch.tensor(1000.0))) == pytest.approx(8.53, abs=0.01)


def test_a_step_uses_it_where_it_has_a_weight(clip: Tensor) -> None:
    settings = CodecSettings(n_filters=2, loudness_weight=0.5, adversarial_weight=0.0)
    network = EncodecNetwork(CONFIGS["encodec_24khz"].with_filters(2))
    seen = CodecStep(settings, network, torch.device("cpu"))(clip, 1, 1.0, False, False)
    assert float(seen["loudness"]) > 0
