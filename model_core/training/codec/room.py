"""Room in a trained network: channels that others can stand in for are taken out.

A trained network often has more channels than it uses. Of each layer's channels, those that the
others explain worst are kept, as they matter to the layers that hear them; whoever heard one of the
rest hears a sum of the kept ones instead, fitted by least squares. Source for pruning by what the
next layer hears: Luo et al., "ThiNet", arXiv 1707.06342.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...nn.conv import (
    SConv1d,
    SConvTranspose1d,
    WeightNormConv1d,
    WeightNormConvTranspose1d,
    WeightNormed,
    joined_weight,
    set_weight,
)
from ...nn.network import EncodecNetwork
from ...nn.seanet import SLSTM, SEANetResnetBlock

_RIDGE = 1e-6  # of the least squares, relative to the mean power of a channel
_POINTS = 40_000  # of a signal, for the fits


@torch.no_grad()
def make_room(model: EncodecNetwork, clips: Tensor, room: Mapping[int, int]) -> EncodecNetwork:
    """A copy of `model` (weight norm) whose first channels are free for others.

    `room` has how many for each width of a layer: nothing in the copy hears them, and they hear
    nothing. Latent and audio, the ends of encoder and decoder, are not changed. `clips` `[B, C, T]`
    are what the fits are good for.
    """
    roomy = EncodecNetwork(model.config).train(model.training)
    roomy.load_state_dict(model.state_dict())
    latent = _copy(model.encoder.model, roomy.encoder.model, clips, room)
    quantizer = model.quantizer
    codes = quantizer.encode(latent, model.frame_rate, model.target_bandwidths[-1])
    _copy(model.decoder.model, roomy.decoder.model, quantizer.decode(codes), room)
    return roomy


@dataclass(frozen=True)
class _Kept:
    """The channels of a signal that stay, and what they make of all of them."""

    channels: Tensor
    free: int  # channels before them
    plain: Tensor  # [all, kept]
    curved: Tensor  # the same of the signal's ELU


def _copy(old: nn.Sequential, new: nn.Sequential, x: Tensor, room: Mapping[int, int]) -> Tensor:
    """Give the half `new` of a network the channels of `old` that stay; what `old` makes of `x`."""
    layers, signals = list(old), [x := layer(x) for layer in old]
    heard = _choose(signals, layers[1:], room)
    _conv(layers[0], new[0], None, heard)
    for index, layer in enumerate(layers[1:-1], 1):
        if isinstance(layer, nn.ELU):
            continue
        if isinstance(layer, SLSTM):
            made = _keep(signals[index], heard.channels, heard.free)
            states = _points(signals[index]) - _points(signals[index - 1])
            _lstm(layer, new[index], heard, _stand_in(states, made.channels))
        else:
            made = _choose(signals[index:], layers[index + 1 :], room)
            if isinstance(layer, SEANetResnetBlock):
                _block(layer, new[index], heard, made)
            else:
                _conv(layer, new[index], (heard, heard.curved), made)
        heard = made
    _conv(layers[-1], new[-1], (heard, heard.curved), None)
    return signals[-1]


def _choose(
    signals: Sequence[Tensor], listeners: Sequence[nn.Module], room: Mapping[int, int]
) -> _Kept:
    """Choose among the channels of the first of `signals`, the outputs of a layer and the next.

    An LSTM adds to its input, so the two have the same channels: those of the output are chosen.
    """
    after = isinstance(listeners[0], SLSTM)
    judged = _points(signals[1 if after else 0])
    importance = _importance(next(layer for layer in listeners[after:] if _hears(layer)))
    power = torch.cat([judged, F.elu(judged)]) * importance
    free = room[len(importance)]
    channels = _pivots(power.T @ power, len(importance) - free)
    return _keep(signals[0], channels, free)


def _keep(signal: Tensor, channels: Tensor, free: int) -> _Kept:
    points = _points(signal)
    plain, curved = _stand_in(points, channels), _stand_in(F.elu(points), channels)
    return _Kept(channels, free, plain, curved)


def _points(signal: Tensor) -> Tensor:
    """`[B, C, T]` to `[N, C]`, a part if there are many, in float64."""
    flat = signal.transpose(1, 2).flatten(0, 1)
    return flat[:: max(1, len(flat) // _POINTS)].double()


def _pivots(power: Tensor, count: int) -> Tensor:
    """The channels with the most power that those chosen before do not explain, in order: the
    pivots of a Cholesky decomposition of `power` `[C, C]`."""
    left = power + 1e-9 * power.diagonal().mean() * torch.eye(len(power))
    chosen: list[int] = []
    for _ in range(count):
        alone = left.diagonal().clone()
        alone[chosen] = -1
        best = int(alone.argmax())
        chosen.append(best)
        left = left - torch.outer(left[:, best], left[best]) / left[best, best]
    return torch.tensor(sorted(chosen))


def _stand_in(points: Tensor, channels: Tensor) -> Tensor:
    """The matrix `[all, kept]` that makes the most of all channels of the kept ones."""
    kept = points[:, channels]
    gram = kept.T @ kept
    gram += _RIDGE * gram.diagonal().mean() * torch.eye(len(gram))
    matrix = torch.linalg.solve(gram, kept.T @ points).T
    matrix[channels] = torch.eye(len(channels)).double()
    return matrix.float()


def _hears(layer: nn.Module) -> bool:
    return isinstance(layer, SConv1d | SConvTranspose1d | SEANetResnetBlock)


def _importance(layer: nn.Module) -> Tensor:
    """The norm of the weights with which `layer` hears each channel."""
    parts: list[nn.Module] = [layer]
    if isinstance(layer, SEANetResnetBlock):
        parts = [layer.shortcut, layer.block[1]]
    power = sum(_by_input(conv_of(part)).square().sum(dim=(1, 2)) for part in parts)
    assert isinstance(power, Tensor)
    return power.sqrt().double()


def _by_input(conv: WeightNormed) -> Tensor:
    """The weight `[in, out, taps]`."""
    weight = joined_weight(conv)
    return weight if isinstance(conv, WeightNormConvTranspose1d) else weight.transpose(0, 1)


def _conv(
    old: nn.Module, new: nn.Module, heard: tuple[_Kept, Tensor] | None, made: _Kept | None
) -> None:
    """Copy a convolution that hears what is kept of a signal, by one of its matrices, and makes
    the channels of `made`. None is all there is."""
    theirs, ours = conv_of(old), conv_of(new)
    weight, bias = _by_input(theirs), theirs.bias
    assert bias is not None
    assert ours.bias is not None
    into = out = 0
    if heard is not None:
        into = heard[0].free
        weight = torch.einsum("iok,ij->jok", weight, heard[1])
    if made is not None:
        out = made.free
        weight, bias = weight[:, made.channels], bias[made.channels]
    weight = F.pad(weight, (0, 0, out, 0, into, 0))
    set_weight(
        ours, weight if isinstance(ours, WeightNormConvTranspose1d) else weight.transpose(0, 1)
    )
    ours.bias.copy_(F.pad(bias, (out, 0)))


def _block(old: nn.Module, new: nn.Module, heard: _Kept, made: _Kept | None) -> None:
    assert isinstance(old, SEANetResnetBlock)
    assert isinstance(new, SEANetResnetBlock)
    _conv(old.shortcut, new.shortcut, (heard, heard.plain), made)
    _conv(old.block[1], new.block[1], (heard, heard.curved), None)
    _conv(old.block[3], new.block[3], None, made)


def _lstm(old: SLSTM, new: nn.Module, heard: _Kept, states: Tensor) -> None:
    """Copy the LSTM: its first layer hears what is kept, its last one makes what is kept."""
    assert isinstance(new, SLSTM)
    last = old.lstm.num_layers - 1
    free, size = heard.free, old.lstm.hidden_size
    theirs, ours = dict(old.lstm.named_parameters()), dict(new.lstm.named_parameters())
    ours["weight_ih_l0"].copy_(F.pad(theirs["weight_ih_l0"] @ heard.plain, (free, 0)))
    outputs = ours[f"weight_hh_l{last}"]
    outputs.copy_(F.pad(theirs[f"weight_hh_l{last}"] @ states, (free, 0)))
    for name, weight in ours.items():
        if name.endswith(f"_l{last}"):
            gates = weight.view(4, size, -1)
            gates[:, free:] = gates[:, heard.channels].clone()
            gates[:, :free] = 0


def conv_of(layer: nn.Module) -> WeightNormed:
    """The convolution in `layer`; raises `TypeError` if none has weight norm."""
    for part in layer.modules():
        if isinstance(part, WeightNormConv1d | WeightNormConvTranspose1d):
            return part
    raise TypeError(f"{layer} has no convolution with weight norm")
