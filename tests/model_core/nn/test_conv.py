"""Padding and convolutions: the reference's at every length, also those too short to reflect."""

import warnings
from typing import Any

import pytest
import torch
from encodec.modules import conv as reference

from model_core.config import Norm
from model_core.nn.conv import (
    SConv1d,
    SConvTranspose1d,
    WeightNormConv1d,
    extra_padding,
    fold_weight_norm,
    reflect_pad,
)

pytestmark = pytest.mark.usefixtures("one_thread", "no_grad")
NORMS: list[tuple[bool, Norm]] = [(True, "weight_norm"), (False, "time_group_norm")]


@pytest.fixture(autouse=True)
def seeded() -> None:
    torch.manual_seed(3)
    warnings.simplefilter("ignore", FutureWarning)  # the reference's weight norm


@pytest.mark.parametrize("paddings", [(0, 0), (6, 0), (3, 3), (8, 7), (2, 9)])
@pytest.mark.parametrize("length", [1, 2, 3, 6, 7, 10, 30])
def test_reflection(length: int, paddings: tuple[int, int]) -> None:
    x = torch.randn(2, 3, length)
    assert torch.equal(reflect_pad(x, *paddings), reference.pad1d(x, paddings, mode="reflect"))


@pytest.mark.parametrize("stride", [1, 2, 4, 5, 8])
def test_the_last_window_is_full(stride: int) -> None:
    kernel = 2 * stride
    for length in range(1, 50):
        x = torch.zeros(1, 1, length)
        extra = extra_padding(length, kernel, stride, kernel - stride)
        assert extra == reference.get_extra_padding_for_conv1d(x, kernel, stride, kernel - stride)
        assert (length + extra) % stride == 0
        assert 0 <= extra < stride


@pytest.mark.parametrize(("causal", "norm"), NORMS)
@pytest.mark.parametrize(
    ("kernel", "stride", "dilation"), [(7, 1, 1), (3, 1, 2), (4, 2, 1), (10, 5, 1), (16, 8, 1)]
)
def test_convolution(causal: bool, norm: Norm, kernel: int, stride: int, dilation: int) -> None:
    shape: dict[str, Any] = {"stride": stride, "dilation": dilation, "causal": causal, "norm": norm}
    theirs = reference.SConv1d(3, 6, kernel, **shape)
    ours = SConv1d(3, 6, kernel, **shape)
    ours.load_state_dict(theirs.state_dict())
    for length in (1, 2, 3, 7, 16, 33):
        x = torch.randn(2, 3, length)
        y = ours(x)
        assert y.shape == (2, 6, -(-length // stride))
        assert torch.equal(y, theirs(x))


@pytest.mark.parametrize(("causal", "norm"), NORMS)
@pytest.mark.parametrize("stride", [2, 4, 5, 8])
def test_transposed_convolution(causal: bool, norm: Norm, stride: int) -> None:
    shape: dict[str, Any] = {"stride": stride, "causal": causal, "norm": norm}
    theirs = reference.SConvTranspose1d(6, 3, 2 * stride, **shape)
    ours = SConvTranspose1d(6, 3, 2 * stride, **shape)
    ours.load_state_dict(theirs.state_dict())
    for length in (1, 2, 9):
        x = torch.randn(2, 6, length)
        y = ours(x)
        assert y.shape == (2, 3, length * stride)
        assert torch.equal(y, theirs(x))


def test_group_norm_over_time_cannot_be_causal() -> None:
    with pytest.raises(ValueError, match="causal"):
        SConv1d(1, 1, 3, causal=True, norm="time_group_norm")


def test_folding_changes_no_bit() -> None:
    convs = torch.nn.Sequential(
        SConv1d(3, 6, 7, causal=True, norm="weight_norm"),
        SConvTranspose1d(6, 3, 4, stride=2, causal=True, norm="weight_norm"),
    )
    for parameter in convs.parameters():
        parameter.add_(torch.randn_like(parameter))
    x = torch.randn(1, 3, 20)
    before = convs(x)
    fold_weight_norm(convs)
    assert torch.equal(convs(x), before)
    assert not any("weight_" in name for name, _ in convs.named_parameters())
    fold_weight_norm(convs)  # a second time does nothing
    assert torch.equal(convs(x), before)


def test_both_halves_of_a_normed_weight_learn() -> None:
    conv = WeightNormConv1d(2, 3, 5, stride=1, dilation=1)
    with torch.enable_grad():
        conv(torch.randn(1, 2, 9)).square().sum().backward()
    assert conv.weight_g.grad is not None
    assert conv.weight_v.grad is not None
    assert conv.weight_g.grad.abs().max() > 0
    assert conv.weight_v.grad.abs().max() > 0
