"""The balancer gives each loss its share of the gradient (paper section 3.4, equation 4)."""

import io

import pytest
import torch
from torch import Tensor

from model_core import Balancer


def _losses(x: Tensor) -> dict[str, Tensor]:
    return {"a": (x - 1).abs().mean(), "b": 100 * (x + 1).abs().mean()}


def test_plain_weights_add_up() -> None:
    x = torch.zeros(1, requires_grad=True)
    Balancer({"a": 1, "b": 1}, rescale_grads=False).backward(_losses(x), x)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.tensor([99.0]))


def test_equal_weights_make_opposite_losses_cancel_whatever_their_scale() -> None:
    x = torch.zeros(1, requires_grad=True)
    Balancer({"a": 1, "b": 1}).backward(_losses(x), x)
    assert x.grad is not None
    torch.testing.assert_close(x.grad, torch.zeros(1))


def test_shares_follow_the_weights() -> None:
    x = torch.zeros(4, 3, requires_grad=True)
    balancer = Balancer({"a": 1, "b": 3}, total_norm=2.0, monitor=True)
    balancer.backward(_losses(x), x)
    assert x.grad is not None
    # b pulls down with three quarters of the norm, a up with one quarter.
    torch.testing.assert_close(x.grad.norm(dim=1), torch.full((4,), 2.0 * (3 - 1) / 4))
    assert balancer.metrics["ratio_b"] == pytest.approx(100 / 101)


def test_losses_without_a_gradient_have_no_share() -> None:
    x = torch.zeros(2, requires_grad=True)
    balancer = Balancer({"a": 1, "b": 1}, monitor=True)
    gradient = balancer.gradient({"a": 0 * x.sum(), "b": 0 * x.mean()}, x)
    assert torch.equal(gradient, torch.zeros(2))
    assert balancer.metrics == {"ratio_a": 0, "ratio_b": 0}


def test_norms_are_averaged_over_time() -> None:
    balancer = Balancer({"a": 1}, ema_decay=0.5)
    x = torch.zeros(1, requires_grad=True)
    balancer.gradient({"a": x.sum()}, x)
    second = balancer.gradient({"a": 4 * x.sum()}, x)
    torch.testing.assert_close(second, torch.tensor([4 / ((0.5 + 4) / 1.5)]))


def test_a_loss_without_a_weight_is_refused() -> None:
    x = torch.zeros(1, requires_grad=True)
    with pytest.raises(KeyError):
        Balancer({"a": 1}).backward({"c": x.sum()}, x)


def test_it_goes_on_exactly_from_its_state() -> None:
    x = torch.randn(3, 5, requires_grad=True)
    balancer = Balancer({"a": 1, "b": 2}, ema_decay=0.9)
    for factor in (1.0, 3.0):
        balancer.gradient(_losses(factor * x), x)
    file = io.BytesIO()
    torch.save(balancer.state_dict(), file)
    file.seek(0)
    resumed = Balancer({"a": 1, "b": 2}, ema_decay=0.9)
    fresh = resumed.gradient(_losses(x), x)
    resumed.load_state_dict(torch.load(file, weights_only=True))
    expected = balancer.gradient(_losses(x), x)
    assert torch.equal(resumed.gradient(_losses(x), x), expected)
    assert resumed.state_dict() == balancer.state_dict()
    assert not torch.equal(fresh, expected)


def test_a_gradient_that_is_not_finite_leaves_the_averages_alone() -> None:
    x = torch.zeros(2, requires_grad=True)
    balancer = Balancer({"a": 1, "b": 1})
    balancer.gradient(_losses(x), x)
    before = balancer.state_dict()
    bad = balancer.gradient({"a": x.sum(), "b": float("inf") * x.sum()}, x)
    assert not bad.isfinite().all()
    assert balancer.state_dict() == before
    assert balancer.gradient(_losses(x), x).isfinite().all()


def test_a_state_is_a_copy() -> None:
    x = torch.zeros(1, requires_grad=True)
    balancer = Balancer({"a": 1})
    balancer.gradient({"a": x.sum()}, x)
    state = balancer.state_dict()
    balancer.gradient({"a": 5 * x.sum()}, x)
    assert state == {"sums": {"a": 1.0}, "counts": {"a": 1.0}}


def test_what_is_no_state_changes_nothing() -> None:
    balancer = Balancer({"a": 1})
    with pytest.raises(KeyError):
        balancer.load_state_dict({"sums": {"a": 3.0}})
    assert balancer.state_dict() == {"sums": {}, "counts": {}}
