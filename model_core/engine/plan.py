"""A SEANet as the list of layers that an engine runs: the walk over its modules, written once."""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

from torch import nn

from ..nn.conv import SConv1d, SConvTranspose1d
from ..nn.lstm import SLSTM
from ..nn.seanet import SEANetResnetBlock


@dataclass(frozen=True)
class Convolution:
    """A convolution, after an ELU where `elu`."""

    module: SConv1d | SConvTranspose1d
    elu: bool


@dataclass(frozen=True)
class Residual:
    """`shortcut(x) + block(x)`, the convolutions of the block one after another."""

    shortcut: Convolution
    block: tuple[Convolution, ...]


Layer = Convolution | Residual


@dataclass(frozen=True)
class Plan:
    """An encoder or decoder: the layers before the LSTM, the LSTM, and those after it. A network
    without one has all its layers before it."""

    before: tuple[Layer, ...]
    lstm: SLSTM | None
    after: tuple[Layer, ...]


def plan_of(network: nn.Sequential) -> Plan:
    """The plan of an encoder's or decoder's `model`. Raises `TypeError` for what no SEANet has."""
    modules = list(network)
    lstm = next((module for module in modules if isinstance(module, SLSTM)), None)
    place = len(modules) if lstm is None else modules.index(lstm)
    return Plan(tuple(_layers(modules[:place])), lstm, tuple(_layers(modules[place + 1 :])))


def convolutions(layers: Iterable[Layer]) -> Iterator[Convolution]:
    """Every convolution below `layers`, in the order in which they run; shortcuts come first."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield layer.shortcut
            yield from layer.block
        else:
            yield layer


def _layers(modules: Sequence[nn.Module]) -> Iterator[Layer]:
    elu = False
    for module in modules:
        if isinstance(module, nn.ELU):
            elu = True
        elif isinstance(module, SConv1d | SConvTranspose1d):
            yield Convolution(module, elu)
            elu = False
        elif isinstance(module, SEANetResnetBlock):
            shortcut = next(_layers([module.shortcut]))
            block = tuple(_layers(list(module.block)))
            assert isinstance(shortcut, Convolution)
            yield Residual(shortcut, tuple(part for part in block if isinstance(part, Convolution)))
        else:
            raise TypeError(f"no layer of a SEANet: {type(module).__name__}")
