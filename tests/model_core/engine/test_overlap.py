"""Overlap-add of segments one at a time equals that of all of them."""

import numpy as np
import pytest
import torch

from model_core.config import ENCODEC_48KHZ
from model_core.ecdc import segments
from model_core.engine import OverlapAdd
from model_core.nn.network import linear_overlap_add

STRIDE = 47_520


@pytest.mark.parametrize(
    "length",
    [
        1,
        320,
        47_520,
        47_521,
        47_680,
        47_681,
        47_840,
        47_841,
        48_000,
        48_001,
        95_040,
        95_241,
        200_000,
    ],
)
def test_equal_to_joining_all_segments(length: int) -> None:
    config = ENCODEC_48KHZ
    generator = torch.Generator().manual_seed(length)
    frames = [
        torch.randn(2, s.frames * config.hop_length, generator=generator)
        for s in segments(config, length)
    ]
    expected = linear_overlap_add(frames, STRIDE)
    overlap = OverlapAdd(STRIDE)
    parts = [overlap.push(f.numpy(), last=i == len(frames) - 1) for i, f in enumerate(frames)]
    joined = np.concatenate(parts, axis=1)
    assert joined.shape == expected.shape
    assert joined.shape[1] >= length
    np.testing.assert_array_equal(joined, expected.numpy())
