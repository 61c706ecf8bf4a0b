"""Weights that compute a linear transform, so that a run has the waveform from its first step.

A frame of the encoder sees `hop_length` new samples, and the latent has nearly half as many values.
The strongest principal components of such blocks of the recordings are a transform to the latent
and back that keeps most of the waveform, and a causal SEANet has room for it: some channels, the
lines, carry the samples of a frame side by side, the last strided convolution multiplies them by
the components, and the decoder does the reverse. The level there is low, where ELU is nearly
linear. The other channels start at random, or they are those of finished weights in which room was
made. They hardly hear the lines until training makes them; the lines do not hear them, and with
`keep_zeros` never do.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import ModelConfig
from ...errors import SettingsError, TrainingDataError
from ...nn.conv import (
    SConv1d,
    SConvTranspose1d,
    WeightNormConv1d,
    joined_weight,
    set_weight,
)
from ...nn.network import EncodecNetwork
from ...nn.seanet import SLSTM, SEANetResnetBlock
from ..data.cache import AudioCache
from .initial import start_loud
from .room import conv_of, make_room

TRANSFORM = "transform"
"""Where a run says what it starts from."""

FREE = 16
"""Values of the latent, and channels of the layers beside it, that are left to random weights."""

KEPT = 32
"""The same for finished weights: their latent must do with as many."""

_LEVEL = 0.3  # of the samples inside the network, relative to the audio
_SHRUNK = 0.25  # the components, which gather the power of many samples
_LATENT = 2.0  # their level in the latent, relative to an orthonormal transform of the audio
_GRAFTED = 12.0  # the same beside the latent of finished weights
_SHARE = 0.3  # of the output, beside that of finished weights
_QUIET = 0.05  # the other values of the latent, if they are random
_UNHEARD = 1e-4  # weights that are to be learned
_STEADY = 4.0  # ‖v‖ of the transform's weights: larger ones turn less at each of Adam's steps
_LOST = 0.01  # the most of a latent's power that KEPT values may lack


def lines_of(config: ModelConfig, free: int) -> dict[int, int]:
    """Lines in the layers of each width, if `free` of the widest are to be left.

    Raises `SettingsError` for a network that cannot compute the transform.
    """
    if config.norm != "weight_norm" or not config.causal or config.channels != 1:
        raise SettingsError(f"{config.name} cannot start as a transform: only encodec_24khz can")
    lines, width = 1, config.n_filters
    found = {width: lines}
    for stride in reversed(config.ratios[1:]):
        lines, width = lines * stride, width * 2
        if lines >= width:
            raise SettingsError(
                f"n_filters is {config.n_filters}, too few to start as a transform: {lines} "
                f"samples and more do not fit into {width} channels"
            )
        found[width] = lines
    return found | {2 * width: min(config.dimension, 2 * width) - free}


def start_as_transform(model: EncodecNetwork, cache: AudioCache) -> None:
    """Give `model`, causal and mono, weights that compute the transform of its recordings.

    Raises `SettingsError` if there is no room for it, `TrainingDataError` if the recordings are
    shorter than a block or silent.
    """
    lines = lines_of(model.config, FREE)
    components = principal_components(cache, model.config.hop_length, max(lines.values()))
    start_loud(model)
    with torch.no_grad():
        for layer in model.modules():
            if isinstance(layer, nn.Conv1d | nn.ConvTranspose1d) and layer.bias is not None:
                layer.bias.normal_(std=_UNHEARD)
        conv_of(model.encoder.model[-1]).weight_g.mul_(_QUIET)
        conv_of(model.decoder.model[-1]).weight_g.mul_(_UNHEARD)
        _place_transform(model, components, _LATENT, share=1)


@torch.no_grad()
def graft_transform(model: EncodecNetwork, cache: AudioCache) -> None:
    """Make room in the finished weights of `model`, causal and mono, and put the transform there.

    The latent is then the transform's and the strongest `KEPT` principal components of what it was;
    the codebooks must be fitted to it. Raises what `start_as_transform` raises, and `SettingsError`
    if the latent needs more components.
    """
    lines = lines_of(model.config, KEPT)
    components = principal_components(cache, model.config.hop_length, max(lines.values()))
    clips = _clips(cache, model.sample_rate)
    grafted = make_room(model, clips, lines)
    latent = model.encoder(clips).transpose(1, 2).flatten(0, 1)
    _turn_latent(grafted, latent, len(components))
    _place_transform(grafted, components, _GRAFTED, _SHARE)
    model.load_state_dict(grafted.state_dict())


def _clips(cache: AudioCache, length: int, count: int = 64) -> Tensor:
    """From the middle of recordings that are as long, `[B, C, length]`."""
    found = [recording for recording in cache.of("train") if recording.length >= length]
    if not found:
        raise TrainingDataError(f"no recording has {length} samples")
    return torch.stack(
        [
            cache.read(recording, (recording.length - length) // 2, length)
            for recording in found[:: max(1, len(found) // count)]
        ]
    )


def principal_components(cache: AudioCache, size: int, count: int) -> Tensor:
    """The `count` strongest of blocks of `size` samples, orthonormal, `[count, size]`.

    Blocks count by the root of their power, so that quiet ones have a say. Raises
    `TrainingDataError` if the training recordings do not make a block.
    """
    covariance = np.zeros((size, size))
    for recording in cache.of("train"):
        blocks = cache.read(recording, 0, recording.length).mean(dim=0).double().numpy()
        blocks = blocks[: len(blocks) // size * size].reshape(-1, size)
        power = (blocks**2).mean(axis=1)
        heard = power > 0
        weights = (power[heard] + 0.01 * power.mean()) ** -0.5 if heard.any() else power[heard]
        covariance += (blocks[heard] * weights[:, None]).T @ blocks[heard]
    if not covariance.any():
        raise TrainingDataError(f"no recording has a block of {size} samples with sound")
    _, vectors = np.linalg.eigh(covariance)
    return torch.from_numpy(vectors[:, ::-1][:, :count].T.copy()).float()


def _turn_latent(model: EncodecNetwork, latent: Tensor, lines: int) -> None:
    """After the `lines`, let the latent have the principal components of what it was, `[N, D]`."""
    mean = latent.mean(dim=0)
    powers, vectors = torch.linalg.eigh(torch.cov(latent.T))
    turn = vectors.flip(1)[:, : len(mean) - lines]
    lost = 1 - float(powers.flip(0)[: turn.shape[1]].sum() / powers.sum())
    if lost > _LOST:
        raise SettingsError(
            f"the latent of these weights needs more than {turn.shape[1]} values: "
            f"{lost:.1%} of its power would be lost"
        )
    encode, decode = conv_of(model.encoder.model[-1]), conv_of(model.decoder.model[0])
    assert encode.bias is not None
    assert decode.bias is not None
    weight = torch.einsum("oik,op->pik", joined_weight(encode), turn)
    set_weight(encode, F.pad(weight, (0, 0, 0, 0, lines, 0)))
    encode.bias.copy_(F.pad((encode.bias - mean) @ turn, (lines, 0)))
    weight = joined_weight(decode)
    decode.bias.add_(torch.einsum("oik,i->o", weight, mean))
    set_weight(decode, F.pad(torch.einsum("oik,ip->opk", weight, turn), (0, 0, lines, 0)))


def _place_transform(model: EncodecNetwork, components: Tensor, level: float, share: float) -> None:
    """Make the first channels of each layer the lines, their part of the output `share`."""
    _encode(model.encoder.model, components, level)
    _decode(model.decoder.model, components, level, share)


def _encode(layers: nn.Sequential, components: Tensor, level: float) -> None:
    """Lines carry the samples of a frame in their order."""
    first, *inner, last = layers
    _place(first, _LEVEL * torch.eye(1))
    lines = 1
    for layer in inner:
        if isinstance(layer, SConv1d):
            wide = lines * layer.stride
            matrix = _SHRUNK * components if wide == components.shape[1] else torch.eye(wide)
            _place(layer, matrix)
            lines = len(matrix)
        else:
            _carry(layer, lines)
    _place(last, level / (_LEVEL * _SHRUNK) * torch.eye(lines))


def _decode(layers: nn.Sequential, components: Tensor, level: float, share: float) -> None:
    first, *inner, last = layers
    lines, wide = components.shape
    _place(first, _LEVEL * _SHRUNK / level * torch.eye(lines))
    matrix = components / _SHRUNK
    for layer in inner:
        if isinstance(layer, SConvTranspose1d):
            _place(layer, matrix)
            lines = wide = wide // layer.stride
            matrix = torch.eye(lines)
        else:
            _carry(layer, lines)
    weight = joined_weight(conv_of(last))
    weight[0, 0] = 0
    weight[0, 0, -1] = share / _LEVEL
    set_weight(conv_of(last), weight)


def _place(layer: nn.Module, matrix: Tensor) -> None:
    """Make the first channels of `layer` multiply the samples of a frame by `matrix`.

    `matrix` is `[lines, samples]` between a frame's lines on the narrow side of a strided layer and
    its samples on the other; without a stride `[lines, lines]`. Only where `layer` hears audio do
    the other channels hear what the lines hear.
    """
    conv = conv_of(layer)
    stride = conv.stride[0]
    weight = matrix.view(len(matrix), stride, -1).transpose(1, 2)  # [lines, lines, taps]
    unused = conv.kernel_size[0] - stride
    forwards = isinstance(conv, WeightNormConv1d)  # the frame's own taps are the last; else first
    weight = F.pad(weight, (unused, 0) if forwards else (0, unused))
    ours, theirs = weight.shape[:2]
    norm = weight.flatten(1).norm(dim=1).view(-1, 1, 1)
    conv.weight_g[:ours] = norm
    conv.weight_v[:ours] = 0
    conv.weight_v[:ours, :theirs] = weight * (_STEADY / norm)
    if not forwards:
        conv.weight_v[ours:, :theirs] = 0
        conv.weight_v[:ours, theirs:].normal_(std=_UNHEARD)
    elif conv.in_channels > theirs:
        conv.weight_v[ours:, :theirs].normal_(std=_UNHEARD)
    if conv.bias is not None:
        conv.bias[: ours if forwards else theirs] = 0


def _carry(layer: nn.Module, lines: int) -> None:
    """Make `layer` hand on the lines as they are."""
    if isinstance(layer, SEANetResnetBlock):
        _place(layer.shortcut, torch.eye(lines))
        inside, outside = (conv_of(part) for part in layer.block if isinstance(part, SConv1d))
        inside.weight_v[:, :lines].normal_(std=_UNHEARD)
        outside.weight_g[:lines] = 0
        assert outside.bias is not None
        outside.bias[:lines] = 0
    elif isinstance(layer, SLSTM):
        last = f"_l{layer.lstm.num_layers - 1}"
        layer.lstm.get_parameter("weight_ih_l0")[:, :lines].normal_(std=_UNHEARD)
        for name, weight in layer.lstm.named_parameters():
            if name.endswith(last):
                weight.chunk(4)[2][:lines] = 0  # the cells' candidates: only the skip is left
