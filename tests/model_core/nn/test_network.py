"""Overlap-add: the reference's sums, and where it fails the overhang is cut."""

import pytest
import torch
from encodec.utils import _linear_overlap_add

from model_core.nn.network import linear_overlap_add


@pytest.mark.parametrize(
    ("lengths", "stride"),
    [([100], 90), ([100, 100], 90), ([100, 100, 100, 40], 90), ([100, 100, 11], 90),
     ([100, 100, 70], 40)],
)  # fmt: skip
def test_sum_is_the_references(lengths: list[int], stride: int) -> None:
    torch.manual_seed(4)
    frames = [torch.randn(2, 3, length, dtype=torch.float64) for length in lengths]
    ours, theirs = linear_overlap_add(frames, stride), _linear_overlap_add(frames, stride)
    torch.testing.assert_close(ours, theirs, rtol=1e-12, atol=1e-12)


def test_constant_stays_constant() -> None:
    frames = [torch.ones(1, 1, length) for length in (100, 100, 60)]
    torch.testing.assert_close(linear_overlap_add(frames, 90), torch.ones(1, 1, 240))


def test_overhang_is_cut() -> None:
    frames = [torch.ones(1, 1, 100), torch.ones(1, 1, 5)]
    with pytest.raises(RuntimeError):
        _linear_overlap_add(frames, 90)
    torch.testing.assert_close(linear_overlap_add(frames, 90), torch.ones(1, 1, 95))
