"""A moving average of a network's weights, for evaluation and export."""

from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import Tensor, nn


class Average:
    """Averages all floating-point parameters and buffers of `module`.

    A new average follows faster: after n updates the decay is at most (1 + n) / (10 + n). With
    `decay` 0 the average is the latest weights. Codebooks are averaged too, to match the averaged
    encoder.
    """

    def __init__(self, module: nn.Module, decay: float):
        self.decay = decay
        self.updates = 0
        self.tensors = {name: t.detach().clone() for name, t in _floating(module)}

    @torch.no_grad()
    def update(self, module: nn.Module) -> None:
        """Follow the weights of `module` by one step."""
        decay = min(self.decay, (1 + self.updates) / (10 + self.updates)) if self.decay else 0.0
        self.updates += 1
        latest = dict(_floating(module))
        averages = [self.tensors[name] for name in latest]
        torch._foreach_lerp_(averages, list(latest.values()), 1 - decay)

    @torch.no_grad()
    def restart(self, module: nn.Module) -> None:
        """Start again: the average becomes the weights of `module`."""
        self.updates = 0
        for name, tensor in _floating(module):
            self.tensors[name].copy_(tensor)

    def resume(self, tensors: dict[str, Tensor], updates: int) -> None:
        """Continue from a saved average."""
        self.tensors = {name: t.to(self.tensors[name].device) for name, t in tensors.items()}
        self.updates = updates

    @contextmanager
    def applied(self, module: nn.Module) -> Iterator[None]:
        """Inside, `module` has the averaged weights; afterwards its own again."""
        own = {name: t.detach().clone() for name, t in _floating(module)}
        self._give(module, self.tensors)
        try:
            yield
        finally:
            self._give(module, own)

    def settle(self, module: nn.Module, prefixes: tuple[str, ...]) -> None:
        """From now on the tensors of `module` whose names begin so are the averages."""
        self._give(module, self.tensors, prefixes)

    @torch.no_grad()
    def _give(
        self, module: nn.Module, tensors: dict[str, Tensor], prefixes: tuple[str, ...] = ("",)
    ) -> None:
        for name, tensor in _floating(module):
            if name.startswith(prefixes):
                tensor.copy_(tensors[name])


def _floating(module: nn.Module) -> Iterator[tuple[str, Tensor]]:
    for name, tensor in module.state_dict(keep_vars=True).items():
        if tensor.is_floating_point():
            yield name, tensor
