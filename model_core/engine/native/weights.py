"""A model's weights in the order in which `csrc/weights.h` reads them."""

from collections.abc import Iterable, Iterator

import numpy as np
import torch
from torch import Tensor, nn

from ...nn.conv import SConvTranspose1d
from ...nn.network import EncodecNetwork
from ..plan import Layer, Plan, Residual, plan_of


def flat_weights(model: EncodecNetwork) -> np.ndarray:
    """Encoder, decoder and the codebooks' entries, float32 `[n]`; weight norm must be folded."""
    tensors = [*_of_plan(plan_of(model.encoder.model)), *_of_plan(plan_of(model.decoder.model))]
    tensors += [book.codebook.embed for book in model.quantizer.codebooks]
    flat: np.ndarray = torch.cat([t.detach().cpu().float().reshape(-1) for t in tensors]).numpy()
    return flat


def _of_plan(plan: Plan) -> Iterator[Tensor]:
    yield from _of_layers(plan.before)
    if plan.lstm is not None:
        yield from plan.lstm.lstm.parameters()
    yield from _of_layers(plan.after)


def _of_layers(layers: Iterable[Layer]) -> Iterator[Tensor]:
    for layer in layers:
        if isinstance(layer, Residual):
            yield from _of_layers([*layer.block, layer.shortcut])
        elif isinstance(layer.module, SConvTranspose1d):
            yield from _conv(layer.module.convtr.convtr, layer.module.convtr.norm)
        else:
            yield from _conv(layer.module.conv.conv, layer.module.conv.norm)


def _conv(conv: nn.Conv1d | nn.ConvTranspose1d, norm: nn.Module) -> Iterator[Tensor]:
    if conv.bias is None:
        raise ValueError("a convolution without a bias")
    yield conv.weight
    yield conv.bias
    yield from norm.parameters()
