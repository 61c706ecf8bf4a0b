"""Adam for all trainers: in one kernel, and skipping steps whose gradient is not finite."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def adam(parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]) -> Any:
    """Adam for `step_if_finite`."""
    return torch.optim.Adam(parameters, lr=rate, betas=betas, fused=True)


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
