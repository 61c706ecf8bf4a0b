"""Adam for all trainers: in one kernel, and skipping steps whose gradient is not finite."""

import inspect
from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


class _Uncompiled:
    """Methods of torch's Adam without the decorators for `torch.compile`, which is not used here:
    they import the compiler, and that takes seconds at the start of a run."""

    add_param_group = inspect.unwrap(torch.optim.Adam.add_param_group)
    load_state_dict = inspect.unwrap(torch.optim.Adam.load_state_dict)
    state_dict = inspect.unwrap(torch.optim.Adam.state_dict)
    step = torch.no_grad()(inspect.unwrap(torch.optim.Adam.step))
    zero_grad = inspect.unwrap(torch.optim.Adam.zero_grad)


class Adam(_Uncompiled, torch.optim.Adam):
    """Adam."""


class AdamW(_Uncompiled, torch.optim.AdamW):
    """Adam whose decay of weights is apart from its averages."""


def adam(parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]) -> Any:
    """Adam for `step_if_finite`."""
    return Adam(parameters, lr=rate, betas=betas, fused=True)


def step_if_finite(optimizer: torch.optim.Optimizer, norm: Tensor) -> None:
    """A step of a fused optimiser, if the gradients' `norm` (a scalar) is finite.

    If not, weights, averages and step counts stay unchanged. The check runs on the gradients'
    device, so the host does not wait for it.
    """
    optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
    optimizer.step()


def resume_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any] | None) -> None:
    """Load the averages of an optimiser's `state_dict`; rates and decays keep their current
    values. None loads nothing."""
    if saved is None:
        return
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({**saved, "param_groups": groups})
