"""The quantised cdf: the reference's integers, also for a whole batch at once."""

import pytest
import torch
from encodec.quantization.ac import build_stable_quantized_cdf as reference
from hypothesis import given, settings
from hypothesis import strategies as st

from model_core.ecdc import build_stable_quantized_cdf


@settings(deadline=None, derandomize=True)
@given(
    seed=st.integers(0, 2**31),
    symbols=st.sampled_from([1, 2, 3, 17, 1024, 4000]),
    sharpness=st.sampled_from([0.0, 0.3, 1.0, 10.0, 100.0, 1e4]),
    bits=st.sampled_from([14, 20, 24, 30]),
    roundoff=st.sampled_from([0.0, 1e-8, 1e-5]),
    min_range=st.sampled_from([2, 3]),
    dtype=st.sampled_from([torch.float32, torch.float64]),
)
def test_integers_are_the_references(
    seed: int,
    symbols: int,
    sharpness: float,
    bits: int,
    roundoff: float,
    min_range: int,
    dtype: torch.dtype,
) -> None:
    noise = torch.randn(2, 3, symbols, generator=torch.Generator().manual_seed(seed), dtype=dtype)
    pdf = torch.softmax(sharpness * noise, dim=-1)
    ours = build_stable_quantized_cdf(pdf, bits, roundoff, min_range, check=False)
    assert ours.dtype == torch.int64
    assert ours.shape == pdf.shape
    for batch in range(2):
        for row in range(3):
            theirs = reference(pdf[batch, row], bits, roundoff, min_range, check=False)
            assert torch.equal(ours[batch, row], theirs)
            single = build_stable_quantized_cdf(pdf[batch, row], bits, roundoff, min_range, False)
            assert torch.equal(single, theirs)


def test_as_the_language_model_gives_them() -> None:
    probabilities = torch.softmax(torch.randn(1, 1024, 32, 1), dim=1)  # [B, card, K, T]
    ours = build_stable_quantized_cdf(probabilities[0, :, :, 0].T, 24)  # [K, card]
    for k in range(32):
        assert torch.equal(ours[k], reference(probabilities[0, :, k, 0], 24))


def test_one_certain_symbol_and_uniform() -> None:
    for pdf in (torch.eye(1024)[[0, 511, 1023]], torch.full((3, 1024), 1 / 1024)):
        cdf = build_stable_quantized_cdf(pdf, 24)
        assert all(torch.equal(cdf[row], reference(pdf[row], 24)) for row in range(3))
        assert (cdf.diff() >= 2).all()
        assert (cdf[:, -1] <= 2**24).all()


@pytest.mark.parametrize(
    "pdf",
    [
        torch.full((4,), 0.5),
        torch.tensor([1.5, -0.5]),
        torch.tensor([0.5, float("nan")]),
        torch.tensor([[0.5, 0.5], [0.75, 0.75]]),
    ],
)
def test_what_is_no_distribution(pdf: torch.Tensor) -> None:
    with pytest.raises(ValueError, match="not probabilities"):
        build_stable_quantized_cdf(pdf, 24)


def test_a_range_too_small() -> None:
    assert build_stable_quantized_cdf(torch.full((8,), 1 / 8), 4)[-1] == 16
    for pdf in (torch.full((9,), 1 / 9), torch.empty(0)):
        with pytest.raises(ValueError, match="range"):
            build_stable_quantized_cdf(pdf, 4)
    with pytest.raises(ValueError, match="min_range"):
        build_stable_quantized_cdf(torch.full((8,), 1 / 8), 24, min_range=1)
