"""The layers of a network, listed once from its configuration, for every backend to read.

encoder   conv 7, then for each ratio residual units and a conv of that stride and twice the width,
          the LSTM, conv 7
decoder   conv 7, the LSTM, then for each ratio a transposed conv of that stride and half the width
          and residual units, conv 7

A layer says what it computes and what its tensors are called; it holds none. What a causal stream
carries from block to block is `context` columns of each convolution's input, and h and c of the
LSTM. `nn.seanet` is the same network as modules; a test holds the two together.
"""

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from itertools import count

from ..config import ModelConfig

Shape = tuple[int, ...]

_ENDS = 7
"""Taps of the first and the last convolution."""


@dataclass(frozen=True)
class Convolution:
    """A convolution, or a transposed one, after an ELU where `elu`.

    `name` is that of its module in the network, which names its tensors too.
    """

    name: str
    in_channels: int
    out_channels: int
    kernel: int
    stride: int = 1
    dilation: int = 1
    transposed: bool = False
    elu: bool = True

    @property
    def window(self) -> int:
        """Samples from the first tap to the last."""
        return (self.kernel - 1) * self.dilation + 1

    @property
    def padding(self) -> int:
        """Samples around the input or, transposed, too many in the output."""
        return self.window - self.stride

    @property
    def context(self) -> int:
        """Columns of its input that a causal stream carries into the next block."""
        return 1 if self.transposed else self.padding

    @property
    def carried(self) -> int:
        """Numbers that a causal stream carries for it."""
        return self.context * self.in_channels

    @property
    def weights(self) -> str:
        """The module of `weight` and `bias`."""
        return f"{self.name}.{self._kind}.{self._kind}"

    @property
    def norm(self) -> str:
        """The module of the group norm behind it, in a network that has them."""
        return f"{self.name}.{self._kind}.norm"

    @property
    def _kind(self) -> str:
        return "convtr" if self.transposed else "conv"


@dataclass(frozen=True)
class Residual:
    """`shortcut(x) + block(x)`, the convolutions of the block one after another."""

    shortcut: Convolution
    block: tuple[Convolution, ...]


@dataclass(frozen=True)
class Lstm:
    """`num_layers` LSTMs of `size` units, a skip connection around all of them.

    A causal stream carries h and c of each.
    """

    name: str
    size: int
    num_layers: int


Layer = Convolution | Residual


@dataclass(frozen=True)
class Plan:
    """An encoder or decoder: the layers before the LSTM, the LSTM, and those after it. A network
    without one has all its layers before it."""

    before: tuple[Layer, ...]
    lstm: Lstm | None
    after: tuple[Layer, ...]

    @property
    def convolutions(self) -> list[Convolution]:
        """As the function `convolutions`, of the whole network."""
        return list(convolutions((*self.before, *self.after)))


def encoder_plan(config: ModelConfig) -> Plan:
    """Waveform `[B, channels, T]` to latent `[B, dimension, frames]`."""
    number, width = count(), config.n_filters
    layers: list[Layer] = [
        Convolution(_name("encoder", number), config.channels, width, _ENDS, elu=False)
    ]
    for ratio in reversed(config.ratios):
        layers += _residuals("encoder", number, width, config.n_residual_layers)
        name = _name("encoder", number, elu=True)
        layers.append(Convolution(name, width, 2 * width, 2 * ratio, ratio))
        width *= 2
    lstm = Lstm(_name("encoder", number), width, config.lstm) if config.lstm else None
    last = Convolution(_name("encoder", number, elu=True), width, config.dimension, _ENDS)
    if lstm is None:
        return Plan((*layers, last), None, ())
    return Plan(tuple(layers), lstm, (last,))


def decoder_plan(config: ModelConfig) -> Plan:
    """Latent `[B, dimension, frames]` to waveform `[B, channels, T]`."""
    number, width = count(), config.n_filters * 2 ** len(config.ratios)
    first = Convolution(_name("decoder", number), config.dimension, width, _ENDS, elu=False)
    lstm = Lstm(_name("decoder", number), width, config.lstm) if config.lstm else None
    layers: list[Layer] = []
    for ratio in config.ratios:
        name = _name("decoder", number, elu=True)
        layers.append(Convolution(name, width, width // 2, 2 * ratio, ratio, transposed=True))
        width //= 2
        layers += _residuals("decoder", number, width, config.n_residual_layers)
    layers.append(Convolution(_name("decoder", number, elu=True), width, config.channels, _ENDS))
    if lstm is None:
        return Plan((first, *layers), None, ())
    return Plan((first,), lstm, tuple(layers))


def weight_shapes(config: ModelConfig) -> dict[str, Shape]:
    """The tensors that coding needs, weight norm folded, in the order of `native/csrc/interface.h`:
    encoder, decoder, the entries of the codebooks."""
    shapes: dict[str, Shape] = {}
    for plan in (encoder_plan(config), decoder_plan(config)):
        for layer in (*convolutions(plan.before), plan.lstm, *convolutions(plan.after)):
            if isinstance(layer, Convolution):
                shapes |= _convolution_shapes(layer, with_norm=config.norm == "time_group_norm")
            elif layer is not None:
                shapes |= _lstm_shapes(layer)
    entries = config.bins, config.dimension
    codebooks = range(config.num_codebooks)
    return shapes | {f"quantizer.vq.layers.{k}._codebook.embed": entries for k in codebooks}


def state_shapes(config: ModelConfig) -> dict[str, Shape]:
    """The shape of every tensor of a checkpoint, by its name in the reference."""
    shapes: dict[str, Shape] = {}
    for name, shape in weight_shapes(config).items():
        if config.norm == "weight_norm" and name.endswith(".weight"):
            shapes |= {f"{name}_g": (shape[0], 1, 1), f"{name}_v": shape}
            continue
        shapes[name] = shape
        if name.endswith(".embed"):
            book = name.removesuffix(".embed")
            shapes |= {f"{name}_avg": shape, f"{book}.cluster_size": shape[:1]}
            shapes[f"{book}.inited"] = (1,)
    return shapes


def parameter_count(config: ModelConfig) -> int:
    """The numbers in encoder and decoder, weight norm folded."""
    shapes = weight_shapes(config).items()
    return sum(math.prod(shape) for name, shape in shapes if not name.startswith("quantizer."))


def convolutions(layers: Iterable[Layer]) -> Iterator[Convolution]:
    """Every convolution below `layers`; shortcuts come after their blocks."""
    for layer in layers:
        if isinstance(layer, Residual):
            yield from (*layer.block, layer.shortcut)
        else:
            yield layer


def _convolution_shapes(layer: Convolution, with_norm: bool) -> dict[str, Shape]:
    outputs, inputs = layer.out_channels, layer.in_channels
    sides = (inputs, outputs) if layer.transposed else (outputs, inputs)
    shapes: dict[str, Shape] = {
        f"{layer.weights}.weight": (*sides, layer.kernel),
        f"{layer.weights}.bias": (outputs,),
    }
    if with_norm:
        shapes |= {f"{layer.norm}.{kind}": (outputs,) for kind in ("weight", "bias")}
    return shapes


def _lstm_shapes(lstm: Lstm) -> dict[str, Shape]:
    gates = 4 * lstm.size
    kinds: dict[str, Shape] = {
        "weight_ih": (gates, lstm.size),
        "weight_hh": (gates, lstm.size),
        "bias_ih": (gates,),
        "bias_hh": (gates,),
    }
    numbers = range(lstm.num_layers)
    return {f"{lstm.name}.lstm.{kind}_l{n}": kinds[kind] for n in numbers for kind in kinds}


def _name(part: str, number: Iterator[int], elu: bool = False) -> str:
    """The next module of `part`; the ELU before it has a number of its own."""
    if elu:
        next(number)
    return f"{part}.model.{next(number)}"


def _residuals(part: str, number: Iterator[int], width: int, units: int) -> list[Layer]:
    """Residual units: conv 3 to half the width, conv 1 back, and a conv 1 as the shortcut."""
    layers: list[Layer] = []
    for unit in range(units):
        name = _name(part, number)
        wide = Convolution(f"{name}.block.1", width, width // 2, 3, dilation=2**unit)
        back = Convolution(f"{name}.block.3", width // 2, width, 1)
        shortcut = Convolution(f"{name}.shortcut", width, width, 1, elu=False)
        layers.append(Residual(shortcut, (wide, back)))
    return layers
