"""A gradient that is not finite changes nothing, and an optimiser goes on from its state."""

import copy

import pytest
import torch
from torch import nn

from model_core.training.optimizer import adam, resume_optimizer, step_if_finite


def layer() -> nn.Linear:
    torch.manual_seed(1)
    return nn.Linear(3, 2)


def learn(linear: nn.Linear, optimizer: torch.optim.Optimizer, factor: float = 1.0) -> None:
    linear.zero_grad()
    (factor * linear(torch.ones(3)).square().sum()).backward()
    gradients = [p.grad for p in linear.parameters() if p.grad is not None]
    step_if_finite(optimizer, nn.utils.get_total_norm(gradients))


def test_steps_are_adams() -> None:
    ours, theirs = layer(), layer()
    optimizer = adam(ours.parameters(), 1e-2, (0.5, 0.9))
    other = torch.optim.Adam(theirs.parameters(), lr=1e-2, betas=(0.5, 0.9))
    for _ in range(5):
        learn(ours, optimizer)
        other.zero_grad()
        theirs(torch.ones(3)).square().sum().backward()
        other.step()
    torch.testing.assert_close(ours.weight, theirs.weight)
    assert not torch.equal(ours.weight, layer().weight)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_what_is_not_finite_is_not_followed(bad: float) -> None:
    linear = layer()
    optimizer = adam(linear.parameters(), 1e-2, (0.5, 0.9))
    learn(linear, optimizer)
    weights = copy.deepcopy(linear.state_dict())
    state = copy.deepcopy(optimizer.state_dict()["state"])
    learn(linear, optimizer, bad)
    assert all(torch.equal(linear.state_dict()[name], t) for name, t in weights.items())
    for number, slot in optimizer.state_dict()["state"].items():
        assert all(torch.equal(slot[name], t) for name, t in state[number].items())
    learn(linear, optimizer)
    assert not torch.equal(linear.weight, weights["weight"])


def test_it_resumes_at_its_own_rate() -> None:
    linear = layer()
    optimizer = adam(linear.parameters(), 1e-2, (0.5, 0.9))
    learn(linear, optimizer)
    other = adam(linear.parameters(), 1e-3, (0.5, 0.9))
    resume_optimizer(other, optimizer.state_dict())
    assert other.param_groups[0]["lr"] == 1e-3
    slots = other.state_dict()["state"][0]
    assert torch.equal(slots["exp_avg"], optimizer.state_dict()["state"][0]["exp_avg"])
