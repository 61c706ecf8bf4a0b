"""The torch modules that compute the layers of a plan."""

from torch import nn

from ..nn.seanet import SLSTM
from .plan import Convolution, Plan

Conv = nn.Conv1d | nn.ConvTranspose1d


class Modules:
    """Those of `network` by the layers of `plan`, looked up once."""

    def __init__(self, network: nn.Module, plan: Plan):
        """Raises `AttributeError` for a network without a layer of the plan."""
        self._convolutions: dict[str, Conv] = {}
        self._norms: dict[str, nn.GroupNorm] = {}
        for layer in plan.convolutions:
            conv = network.get_submodule(layer.weights)
            norm = network.get_submodule(layer.norm)
            assert isinstance(conv, Conv)
            self._convolutions[layer.name] = conv
            if isinstance(norm, nn.GroupNorm):
                self._norms[layer.name] = norm
        self.lstm: SLSTM | None = None
        if plan.lstm is not None:
            lstm = network.get_submodule(plan.lstm.name)
            assert isinstance(lstm, SLSTM)
            self.lstm = lstm

    def convolution(self, layer: Convolution) -> Conv:
        """What multiplies, without padding."""
        return self._convolutions[layer.name]

    def norm(self, layer: Convolution) -> nn.GroupNorm | None:
        """The group norm behind it, in a network that has them."""
        return self._norms.get(layer.name)
