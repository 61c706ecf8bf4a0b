"""Balances several losses by the size of their gradients (paper section 3.4, equation 4).

Source: reference `balancer.py` (repository head).
"""

import math
from collections.abc import Mapping

import torch
from torch import Tensor, autograd

from . import distrib


class Balancer:
    """Weighs losses by the share of the gradient each one shall have.

    The gradient of each loss with respect to the model's output is divided by a moving average of
    its norm, so that a weight says how much of the whole gradient a loss makes up, whatever its
    scale. Weights with `rescale_grads=False` are plain factors.

    `ema_decay` is that of the moving average; with `per_batch_item` the norm is taken per item
    and averaged; `monitor` keeps each loss's share of the raw norms in `metrics` (0 of nothing).
    """

    def __init__(
        self,
        weights: Mapping[str, float],
        rescale_grads: bool = True,
        total_norm: float = 1.0,
        ema_decay: float = 0.999,
        per_batch_item: bool = True,
        epsilon: float = 1e-12,
        monitor: bool = False,
    ):
        self.weights = dict(weights)
        self.rescale_grads = rescale_grads
        self.total_norm = total_norm
        self.ema_decay = ema_decay
        self.per_batch_item = per_batch_item
        self.epsilon = epsilon
        self.monitor = monitor
        self._sums: dict[str, float] = {}
        self._counts: dict[str, float] = {}
        self._metrics: dict[str, float] = {}

    @property
    def metrics(self) -> dict[str, float]:
        """`ratio_NAME` for each loss of the last call, when monitored."""
        return self._metrics

    def state_dict(self) -> dict[str, dict[str, float]]:
        """The moving averages, the same on every process: `load_state_dict` goes on from them."""
        return {"sums": dict(self._sums), "counts": dict(self._counts)}

    def load_state_dict(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Take over the averages of `state_dict`. Raises `KeyError` where it is something else."""
        sums, counts = dict(state["sums"]), dict(state["counts"])
        self._sums, self._counts = sums, counts

    def backward(self, losses: Mapping[str, Tensor], input: Tensor) -> None:
        """Back-propagate the balanced gradient through `input`, the model's output `[B, ...]`.

        Raises `KeyError` for a loss without a weight.
        """
        torch.autograd.backward([input], [self.gradient(losses, input)])

    def gradient(self, losses: Mapping[str, Tensor], output: Tensor) -> Tensor:
        """The balanced gradient with respect to `output`, which stays in the graph."""
        gradients = {
            name: autograd.grad(loss, [output], retain_graph=True)[0]
            for name, loss in losses.items()
        }
        norms = self._averaged({name: self._norm(g) for name, g in gradients.items()}, output)
        if self.monitor:
            total = sum(norms.values())
            self._metrics = {
                f"ratio_{name}": norm / total if total else 0.0 for name, norm in norms.items()
            }
        total_weight = sum(self.weights[name] for name in norms)
        combined = torch.zeros_like(output)
        for name, gradient in gradients.items():
            factor = self.weights[name]
            if self.rescale_grads:
                factor *= self.total_norm / (total_weight * (self.epsilon + norms[name]))
            combined += factor * gradient
        return combined

    def _norm(self, gradient: Tensor) -> float:
        gradient = gradient.float()
        if self.per_batch_item:
            return float(gradient.reshape(len(gradient), -1).norm(dim=1).mean())
        return float(gradient.norm())

    def _averaged(self, norms: Mapping[str, float], output: Tensor) -> dict[str, float]:
        # Over the processes first: then all of them keep the same moving averages.
        norms = distrib.average_metrics(norms, len(output) if self.per_batch_item else 1)
        if not all(map(math.isfinite, norms.values())):
            return dict(norms)  # one bad batch must not stay in the averages for good
        for name, norm in norms.items():
            self._sums[name] = self._sums.get(name, 0.0) * self.ema_decay + norm
            self._counts[name] = self._counts.get(name, 0.0) * self.ema_decay + 1
        return {name: self._sums[name] / self._counts[name] for name in norms}
