"""A network of twice the width with the same output, to continue a narrow run.

Every inner channel is doubled. The copies' outgoing weights are halved, plus and minus a little
noise: the function stays the same, and training can separate the copies. Weights that are 0, around
a transform, stay so. Source: Chen et al., "Net2Net", arXiv 1511.05641.
"""

import torch
from torch import Tensor, nn

from ...nn.conv import (
    WeightNormConv1d,
    WeightNormConvTranspose1d,
    joined_weight,
    set_weight,
)
from ...nn.network import EncodecNetwork

NOISE = 0.1  # of a copy's weights, relative to their standard deviation


@torch.no_grad()
def doubled(narrow: EncodecNetwork, generator: torch.Generator) -> EncodecNetwork:
    """A model with twice the `n_filters`, the same codebooks and the same output."""
    config = narrow.config.with_filters(2 * narrow.config.n_filters)
    wide = EncodecNetwork(config)
    wide.quantizer.load_state_dict(narrow.quantizer.state_dict())
    theirs = dict(wide.named_modules())
    for name, module in narrow.named_modules():
        if isinstance(module, nn.Conv1d | nn.ConvTranspose1d):
            _convolution(module, theirs[name], generator)
        elif isinstance(module, nn.GroupNorm | nn.LSTM):
            _tensors(module, theirs[name], generator)
    return wide.train(narrow.training)


def _convolution(narrow: nn.Module, wide: nn.Module, generator: torch.Generator) -> None:
    """Copy a convolution; a transposed one has its input channels first."""
    transposed = isinstance(narrow, nn.ConvTranspose1d)
    weight = _doubled(
        _weight(narrow), _weight(wide).shape, (1, 0) if transposed else (0, 1), generator
    )
    if isinstance(wide, WeightNormConv1d | WeightNormConvTranspose1d):
        set_weight(wide, weight)
    else:
        wide.weight.copy_(weight)  # type: ignore[operator]
    bias = narrow.bias
    if isinstance(bias, Tensor) and isinstance(wide.bias, Tensor):
        wide.bias.copy_(bias if bias.shape == wide.bias.shape else bias.repeat(2))


def _tensors(narrow: nn.Module, wide: nn.Module, generator: torch.Generator) -> None:
    """Copy norms and LSTMs; each gate is doubled by itself."""
    found = dict(narrow.named_parameters())
    for name, target in wide.named_parameters():
        source = found[name]
        gates = 4 if isinstance(narrow, nn.LSTM) else 1
        shape = torch.Size([len(target) // gates, *target.shape[1:]])
        parts = [_doubled(part, shape, (0, 1), generator) for part in source.chunk(gates)]
        target.copy_(torch.cat(parts))


def _weight(module: nn.Module) -> Tensor:
    if isinstance(module, WeightNormConv1d | WeightNormConvTranspose1d):
        return joined_weight(module)
    weight = module.weight
    assert isinstance(weight, Tensor)
    return weight


def _doubled(
    weight: Tensor, shape: torch.Size, dims: tuple[int, int], generator: torch.Generator
) -> Tensor:
    """`weight` repeated to `shape`; `dims` are those of its output and input channels."""
    out, into = dims
    if shape[out] != weight.shape[out]:
        weight = torch.cat([weight, weight], dim=out)
    if weight.dim() > 1 and shape[into] != weight.shape[into]:
        half = weight / 2
        noise = torch.randn(half.shape, generator=generator) * half.std() * NOISE * (half != 0)
        weight = torch.cat([half + noise, half - noise], dim=into)
    return weight
