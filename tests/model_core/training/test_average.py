"""The average of the weights follows them, and can stand in for them."""

import pytest
import torch
from torch import nn

from model_core.training.average import Average


def layer(value: float) -> nn.Linear:
    linear = nn.Linear(2, 2)
    for parameter in linear.parameters():
        nn.init.constant_(parameter, value)
    return linear


def test_it_is_the_moving_average() -> None:
    linear = layer(0.0)
    average = Average(linear, decay=0.9)
    expected = 0.0
    for n in range(200):
        nn.init.constant_(linear.weight, float(n))
        average.update(linear)
        decay = min(0.9, (1 + n) / (10 + n))
        expected = decay * expected + (1 - decay) * n
    torch.testing.assert_close(average.tensors["weight"], torch.full((2, 2), expected))


def test_without_decay_it_is_the_latest() -> None:
    linear = layer(0.0)
    average = Average(linear, decay=0.0)
    nn.init.constant_(linear.weight, 3.0)
    average.update(linear)
    assert torch.equal(average.tensors["weight"], linear.weight)


def test_the_module_has_its_own_weights_back_even_after_an_error() -> None:
    linear = layer(1.0)
    average = Average(linear, decay=0.9)
    nn.init.constant_(linear.weight, 5.0)
    with average.applied(linear):
        assert float(linear.weight.detach()[0, 0]) == 1.0
    with pytest.raises(RuntimeError), average.applied(linear):
        raise RuntimeError
    assert float(linear.weight.detach()[0, 0]) == 5.0


def test_buffers_are_averaged_and_integers_left_alone() -> None:
    norm = nn.BatchNorm1d(2)
    average = Average(norm, decay=0.5)
    norm.running_mean.fill_(1.0)  # type: ignore[union-attr]
    average.update(norm)
    assert 0 < float(average.tensors["running_mean"][0]) <= 1
    assert "num_batches_tracked" not in average.tensors
