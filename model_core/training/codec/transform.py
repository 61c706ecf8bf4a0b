"""Initial weights that compute a linear transform, so that a run starts with the waveform.

A frame of the encoder sees `hop_length` new samples, and the latent has nearly half as many values.
The strongest principal components of such blocks of the recordings are a transform to the latent
and back that keeps most of the waveform, and a causal SEANet has room for it: some channels carry
the samples of a frame side by side, the last strided convolution multiplies them by the components,
and the decoder does the reverse. The level there is low, where ELU is nearly linear. All other
channels start at random; they and the transform do not hear each other until training makes them.
"""

import numpy as np
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ...config import ModelConfig
from ...errors import SettingsError, TrainingDataError
from ...nn.conv import SConv1d, SConvTranspose1d, WeightNormConv1d, WeightNormed
from ...nn.network import EncodecNetwork
from ...nn.seanet import SLSTM, SEANetResnetBlock
from ..data.cache import AudioCache
from .initial import start_loud

TRANSFORM = "transform"
"""Where a run says what it starts from."""

FREE = 16
"""Values of the latent, and of the layers next to it, that the transform leaves to the rest."""

_LEVEL = 0.3  # of the samples inside the network, relative to the audio
_SHRUNK = 0.25  # the components, which gather the power of many samples
_LATENT = 2.0  # their level in the latent, relative to an orthonormal transform of the audio
_QUIET = 0.05  # the other values of the latent
_STEADY = 4.0  # ‖v‖ of the transform's weights: larger ones turn less at each of Adam's steps


def require_room(config: ModelConfig) -> None:
    """Raises `SettingsError` for a network that cannot compute the transform."""
    if config.norm != "weight_norm" or not config.causal or config.channels != 1:
        raise SettingsError(f"{config.name} cannot start as a transform: only encodec_24khz can")
    lines, width = 1, config.n_filters
    for stride in reversed(config.ratios[1:]):
        lines, width = lines * stride, width * 2
        if lines >= width:
            raise SettingsError(
                f"n_filters is {config.n_filters}, too few to start as a transform: {lines} "
                f"samples and more do not fit into {width} channels"
            )


def start_as_transform(model: EncodecNetwork, cache: AudioCache) -> None:
    """Give `model`, causal and mono, weights that compute the transform of its recordings.

    Raises `SettingsError` if there is no room for it, `TrainingDataError` if the recordings are
    shorter than a block or silent.
    """
    config = model.config
    require_room(config)
    count = min(config.dimension, config.n_filters * 2 ** len(config.ratios)) - FREE
    components = principal_components(cache, config.hop_length, count)
    start_loud(model)
    with torch.no_grad():
        _encode(model.encoder.model, components)
        _decode(model.decoder.model, components)


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


def _encode(layers: nn.Sequential, components: Tensor) -> None:
    """Lines, the channels of the transform, carry the samples of a frame in their order."""
    first, *inner, last = layers
    _place(first, _LEVEL * torch.eye(1), apart=False)
    lines = 1
    for layer in inner:
        if isinstance(layer, SConv1d):
            wide = lines * layer.stride
            matrix = _SHRUNK * components if wide == components.shape[1] else torch.eye(wide)
            _place(layer, matrix)
            lines = len(matrix)
        else:
            _carry(layer, lines)
    _place(last, _LATENT / (_LEVEL * _SHRUNK) * torch.eye(lines))
    _conv(last).weight_g[lines:] *= _QUIET


def _decode(layers: nn.Sequential, components: Tensor) -> None:
    first, *inner, last = layers
    lines, wide = components.shape
    _place(first, _LEVEL * _SHRUNK / _LATENT * torch.eye(lines), apart=False)
    matrix = components / _SHRUNK
    for layer in inner:
        if isinstance(layer, SConvTranspose1d):
            _place(layer, matrix)
            lines = wide = wide // layer.stride
            matrix = torch.eye(lines)
        else:
            _carry(layer, lines)
    _place(last, torch.eye(1) / _LEVEL)


def _place(layer: nn.Module, matrix: Tensor, apart: bool = True) -> None:
    """Make the first channels of `layer` multiply the samples of a frame by `matrix`.

    `matrix` is `[lines, samples]` between a frame's lines on the narrow side of a strided layer and
    its samples on the other; without a stride `[lines, lines]`. With `apart`, the other channels
    do not hear the lines.
    """
    conv = _conv(layer)
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
    if apart:
        conv.weight_v[ours:, :theirs] = 0


def _carry(layer: nn.Module, lines: int) -> None:
    """Make `layer` hand on the lines as they are."""
    if isinstance(layer, SEANetResnetBlock):
        _place(layer.shortcut, torch.eye(lines))
        inside, outside = (_conv(part) for part in layer.block if isinstance(part, SConv1d))
        inside.weight_v[:, :lines] = 0
        outside.weight_g[:lines] = 0
    elif isinstance(layer, SLSTM):
        last = f"_l{layer.lstm.num_layers - 1}"
        for name, weight in layer.lstm.named_parameters():
            if name.endswith(last):
                weight.chunk(4)[2].zero_()  # the cells' candidates: only the skip is left


def _conv(layer: nn.Module) -> WeightNormed:
    for part in layer.modules():
        if isinstance(part, WeightNormed):
            return part
    raise TypeError(f"{layer} has no convolution with weight norm")
