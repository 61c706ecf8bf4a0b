"""The decoder's weights in bfloat16."""

import copy

import torch
from torch import nn

from ...nn.conv import SConv1d, SConvTranspose1d
from ...nn.network import EncodecNetwork


def with_bfloat16_decoder(model: EncodecNetwork) -> EncodecNetwork:
    """A copy whose decoder convolves in bfloat16, and so hands that from layer to layer.

    Sums stay in float32 (the devices' own convolutions add in that), and so do the LSTM, the
    codebooks and the last convolution, whose output would otherwise be the audio rounded.
    """
    model = copy.deepcopy(model)
    convolutions = [
        module
        for module in model.decoder.modules()
        if isinstance(module, SConv1d | SConvTranspose1d)
    ]
    for module in convolutions[:-1]:
        inner: nn.Module = module.conv.conv if isinstance(module, SConv1d) else module.convtr.convtr
        inner.to(torch.bfloat16)
    return model
