"""Adam as all trainers use it: in one kernel, and never following a gradient that is not finite."""

from collections.abc import Iterable
from typing import Any

import torch
from torch import Tensor, nn


def adam(parameters: Iterable[nn.Parameter], rate: float, betas: tuple[float, float]) -> Any:
    """Adam for `step_if_finite`."""
    return torch.optim.Adam(parameters, lr=rate, betas=betas, fused=True)


def step_if_finite(optimizer: torch.optim.Optimizer, norm: Tensor) -> None:
    """A step of a fused optimiser, if the gradients' `norm` (a scalar) is finite.

    If not, weights, averages and step counts stay as they are. That is found out where the
    gradients are: the host does not wait for a device to tell it.
    """
    optimizer.found_inf = (~norm.isfinite()).float()  # type: ignore[attr-defined]
    optimizer.step()


def resume_optimizer(optimizer: torch.optim.Optimizer, saved: dict[str, Any] | None) -> None:
    """Take over the averages of an optimiser's `state_dict`; rates and decays stay as they are
    set now. Of None there is nothing to take."""
    if saved is None:
        return
    groups = optimizer.state_dict()["param_groups"]
    optimizer.load_state_dict({**saved, "param_groups": groups})
