"""Balances several losses by the size of their gradients (paper section 3.4, equation 4).

Source: reference `balancer.py` (repository head).
"""

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
    Norms and averages stay on the device of the model's output: no call waits for it but
    `metrics` and `state_dict`.
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
        self._sums: dict[str, Tensor | float] = {}
        self._counts: dict[str, Tensor | float] = {}
        self._monitored: tuple[list[str], Tensor] | None = None

    @property
    def metrics(self) -> dict[str, float]:
        """`ratio_NAME` for each loss of the last call, when monitored."""
        if self._monitored is None:
            return {}
        names, norms = self._monitored[0], self._monitored[1].tolist()
        total = sum(norms)
        return {
            f"ratio_{name}": norm / total if total else 0.0
            for name, norm in zip(names, norms, strict=True)
        }

    def state_dict(self) -> dict[str, dict[str, float]]:
        """The moving averages, the same on every process: `load_state_dict` goes on from them."""
        return {
            "sums": {name: float(value) for name, value in self._sums.items()},
            "counts": {name: float(value) for name, value in self._counts.items()},
        }

    def load_state_dict(self, state: Mapping[str, Mapping[str, float]]) -> None:
        """Take over the averages of `state_dict`. Raises `KeyError` where it is something else."""
        sums, counts = state["sums"], state["counts"]
        self._sums, self._counts = {**sums}, {**counts}

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
            self._monitored = list(norms), torch.stack(list(norms.values()))
        total_weight = sum(self.weights[name] for name in norms)
        combined = torch.zeros_like(output)
        for name, gradient in gradients.items():
            factor: Tensor | float = self.weights[name]
            if self.rescale_grads:
                share = self.total_norm / (total_weight * (self.epsilon + norms[name]))
                factor = factor * share
            combined += factor * gradient
        return combined

    def _norm(self, gradient: Tensor) -> Tensor:
        gradient = gradient.float()
        if self.per_batch_item:
            return gradient.reshape(len(gradient), -1).norm(dim=1).mean()
        return gradient.norm()

    def _averaged(self, norms: Mapping[str, Tensor], output: Tensor) -> dict[str, Tensor]:
        """The moving average of each norm, float64."""
        # Over the processes first: then all of them keep the same moving averages.
        count = len(output) if self.per_batch_item else 1
        latest = distrib.average_values(torch.stack(list(norms.values())), count).double()
        finite = latest.isfinite().all()  # one bad batch must not stay in the averages for good
        sums, counts = (
            torch.stack([_tensor(kept.get(name, 0.0), latest) for name in norms])
            for kept in (self._sums, self._counts)
        )
        sums = torch.where(finite, sums * self.ema_decay + latest, sums)
        counts = torch.where(finite, counts * self.ema_decay + 1, counts)
        self._sums |= zip(norms, sums.unbind(), strict=True)
        self._counts |= zip(norms, counts.unbind(), strict=True)
        averages = torch.where(finite, sums / counts, latest)
        return dict(zip(norms, averages.unbind(), strict=True))


def _tensor(value: Tensor | float, like: Tensor) -> Tensor:
    """`value` as a number on the device of `like`, filled in there and not copied to it."""
    return value.to(like) if isinstance(value, Tensor) else like.new_full((), value)
