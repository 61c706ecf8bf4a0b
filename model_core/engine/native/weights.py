"""A model's weights in the order in which `csrc/weights.h` reads them."""

from collections.abc import Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ...model import EncodecModel
from ...nn.conv import SConv1d, SConvTranspose1d
from ...nn.lstm import SLSTM
from ...nn.seanet import SEANetResnetBlock


def flat_weights(model: EncodecModel) -> np.ndarray:
    """Encoder, decoder and the codebooks' entries, float32 `[n]`; weight norm must be folded."""
    tensors = [*_layers(model.encoder.model), *_layers(model.decoder.model)]
    tensors += [book.codebook.embed for book in model.quantizer.codebooks]
    flat: np.ndarray = torch.cat([t.detach().cpu().float().reshape(-1) for t in tensors]).numpy()
    return flat


def _layers(module: nn.Module) -> Iterator[Tensor]:
    if isinstance(module, SConv1d):
        yield from _conv(module.conv.conv, module.conv.norm)
    elif isinstance(module, SConvTranspose1d):
        yield from _conv(module.convtr.convtr, module.convtr.norm)
    elif isinstance(module, SLSTM):
        yield from module.lstm.parameters()
    elif isinstance(module, SEANetResnetBlock):
        yield from _layers(module.block)
        yield from _layers(module.shortcut)
    elif isinstance(module, nn.Sequential):
        for layer in module:
            yield from _layers(layer)


def _conv(conv: nn.Conv1d | nn.ConvTranspose1d, norm: nn.Module) -> Iterator[Tensor]:
    if conv.bias is None:
        raise ValueError("a convolution without a bias")
    yield conv.weight
    yield conv.bias
    yield from norm.parameters()
