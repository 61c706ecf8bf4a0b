"""The loss over complex spectra: it hears phase, and a quiet clip as well as a loud one."""

import pytest
import torch

from model_core.training.codec.spectrum import ComplexSpectrumLoss
from tests.signals import signal


@pytest.fixture
def clip() -> torch.Tensor:
    return signal(1, 12_000, 24_000)[None]


def test_equal_clips_are_no_distance_apart(clip: torch.Tensor) -> None:
    assert ComplexSpectrumLoss()(clip, clip) == 0


def test_it_hears_phase(clip: torch.Tensor) -> None:
    """Of which amplitudes alone know nothing: the other sign is as far as can be."""
    loss = ComplexSpectrumLoss()
    assert loss(clip, -clip) > loss(clip, torch.zeros_like(clip)) > 0


def test_a_quiet_clip_counts_as_a_loud_one(clip: torch.Tensor) -> None:
    loss = ComplexSpectrumLoss()
    worse = clip + 0.1 * clip.roll(7, -1)
    assert loss(0.05 * clip, 0.05 * worse) == pytest.approx(float(loss(clip, worse)), rel=0.15)
    both = torch.cat([clip, 0.05 * clip]), torch.cat([worse, 0.05 * worse])
    assert loss(*both) == pytest.approx(float(loss(clip, worse)), rel=0.1)


def test_it_can_be_followed_from_silence(clip: torch.Tensor) -> None:
    estimate = torch.zeros_like(clip).requires_grad_()
    ComplexSpectrumLoss()(clip, estimate).backward()
    assert estimate.grad is not None
    assert estimate.grad.isfinite().all()
    assert estimate.grad.abs().max() > 0
