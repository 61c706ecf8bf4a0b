"""The reconstruction losses are the paper's, see quiet clips and have no idle mel bands."""

import math
import warnings

import pytest
import torch
import torchaudio
from torch import Tensor

from model_core.training.codec.losses import MultiScaleMelLoss, bands_for, l1, relative_l1

RATE = 24_000


def pair(channels: int = 1, samples: int = 6000) -> tuple[Tensor, Tensor]:
    generator = torch.Generator().manual_seed(3)
    reference = 0.1 * torch.randn(2, channels, samples, generator=generator)
    return reference, reference + 0.02 * torch.randn(2, channels, samples, generator=generator)


def test_l1_is_the_mean_absolute_error() -> None:
    reference, estimate = torch.tensor([[[1.0, -1.0]]]), torch.tensor([[[0.5, 1.0]]])
    assert l1(reference, estimate) == 1.25


def test_relative_l1_counts_quiet_clips_like_loud_ones() -> None:
    reference, estimate = pair()
    quiet = torch.tensor([1.0, 0.03]).view(2, 1, 1)
    alike = (torch.stack([x[0], x[0]]) for x in (reference, estimate))
    whole = relative_l1(*alike)
    scaled = relative_l1(*(torch.stack([x[0], x[0]]) * quiet for x in (reference, estimate)))
    assert 0.8 * whole < scaled < whole  # the floor of the level takes a little off
    silence = torch.zeros(1, 1, 100)
    assert relative_l1(silence, silence + 1e-3) == pytest.approx(1.0)


@pytest.mark.parametrize("rate", [24_000, 48_000])
def test_every_band_has_a_frequency_and_no_more_bands_would(rate: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        loss = MultiScaleMelLoss(rate)
    filters = [mel.get_buffer("mel_scale.fb") for mel in loss.scales]
    assert [2 * (len(f) - 1) for f in filters] == [2**e for e in range(5, 12)]
    assert all((f.amax(dim=0) > 0).all() for f in filters)
    bands = [f.shape[1] for f in filters]
    assert bands[-2:] == [64, 64]
    assert bands == sorted(bands)
    for f, count in zip(filters, bands, strict=True):
        if count < 64:
            with pytest.warns(UserWarning, match="all zero values"):
                torchaudio.functional.melscale_fbanks(len(f), 0, rate / 2, count + 1, rate)


def test_a_single_band_is_always_possible() -> None:
    assert bands_for(2, RATE, 64) == 1


@pytest.mark.parametrize(("scaled", "alpha"), [(False, 1.0), (True, math.sqrt(511))])
def test_mel_loss_of_one_scale_written_out(scaled: bool, alpha: float) -> None:
    reference, estimate = pair()
    loss = MultiScaleMelLoss(RATE, exponents=[9], scaled_alpha=scaled)
    window = torch.hann_window(512)
    bands = torchaudio.functional.melscale_fbanks(257, 0, RATE / 2, 64, RATE)
    mels = []
    for x in (reference, estimate):
        spectrum = torch.stft(x[:, 0], 512, 128, window=window, return_complex=True).abs()
        mels.append(spectrum.transpose(1, 2) / window.square().sum().sqrt() @ bands)
    a, b = mels
    expected = (a - b).abs().mean()
    expected = expected + alpha * ((1e-5 + a).log10() - (1e-5 + b).log10()).pow(2).mean()
    torch.testing.assert_close(loss(reference, estimate), expected)


def test_mel_loss_is_the_mean_over_the_scales_and_zero_for_equals() -> None:
    reference, estimate = pair()
    scales = [MultiScaleMelLoss(RATE, exponents=[e])(reference, estimate) for e in (6, 8, 10)]
    together = MultiScaleMelLoss(RATE, exponents=(6, 8, 10))
    torch.testing.assert_close(together(reference, estimate), torch.stack(scales).mean())
    assert together(reference, reference) == 0


def test_mel_loss_of_stereo_is_the_mean_of_its_channels() -> None:
    reference, estimate = pair(channels=2)
    loss = MultiScaleMelLoss(48_000)
    sides = [loss(reference[:, i : i + 1], estimate[:, i : i + 1]) for i in range(2)]
    torch.testing.assert_close(loss(reference, estimate), torch.stack(sides).mean())


def test_gradients_are_finite_for_silence() -> None:
    reference, _ = pair()
    estimate = torch.zeros_like(reference).requires_grad_()
    loss = MultiScaleMelLoss(RATE)(reference, estimate)
    loss.backward()
    assert loss.isfinite()
    assert estimate.grad is not None
    assert estimate.grad.isfinite().all()


def test_mel_loss_is_float32_under_autocast() -> None:
    reference, estimate = pair()
    loss = MultiScaleMelLoss(RATE)
    expected = loss(reference, estimate)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        assert torch.equal(loss(reference, estimate), expected)
        assert loss(reference.bfloat16(), estimate.bfloat16()).dtype == torch.float32


def test_the_floor_says_whether_loud_or_quiet_moments_teach() -> None:
    generator = torch.Generator().manual_seed(3)
    level = torch.cat([torch.full((12_000,), 0.1), torch.full((12_000,), 1e-4)])
    reference = torch.randn(1, 1, 24_000, generator=generator) * level
    estimate = (torch.randn(1, 1, 24_000, generator=generator) * level).requires_grad_()

    def loud_over_quiet(floor: float) -> float:
        loss = MultiScaleMelLoss(24_000, log_floor=floor)(reference, estimate)
        (gradient,) = torch.autograd.grad(loss, estimate)
        loud, quiet = (part.norm() for part in gradient.split(12_000, dim=-1))
        return float(loud / quiet)

    assert loud_over_quiet(1e-5) < 0.1
    assert loud_over_quiet(1e-2) > 0.5
