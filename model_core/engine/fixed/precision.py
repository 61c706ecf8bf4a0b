"""The decoder's weights in bfloat16."""

import copy

import torch

from ...nn.network import EncodecNetwork
from ..plan import decoder_plan


def with_bfloat16_decoder(model: EncodecNetwork) -> EncodecNetwork:
    """A copy whose decoder convolves in bfloat16, and so hands that from layer to layer.

    Sums stay in float32 (the devices' own convolutions add in that), and so do the LSTM, the
    codebooks and the last convolution, whose output would otherwise be the audio rounded.
    """
    model = copy.deepcopy(model)
    for layer in decoder_plan(model.config).convolutions[:-1]:
        model.get_submodule(layer.weights).to(torch.bfloat16)
    return model
