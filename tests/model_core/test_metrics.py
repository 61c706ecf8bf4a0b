"""Measures of audio that is known."""

import pytest
import torch

from model_core.metrics import log_mel_distance


@pytest.mark.parametrize("samples", [100, 1024, 1025, 30_000])
def test_half_the_volume_is_six_decibels_at_any_length(samples: int) -> None:
    x = torch.rand(2, samples) - 0.5
    assert log_mel_distance(x, x / 2, 24_000).tolist() == pytest.approx([6.02, 6.02], abs=0.01)
    assert log_mel_distance(x, x, 24_000).tolist() == [0, 0]
