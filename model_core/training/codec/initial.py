"""Weights that a run starts from."""

import math

import torch

from ...nn.conv import WeightNormConv1d, WeightNormConvTranspose1d
from ...nn.network import EncodecNetwork


def start_loud(model: EncodecNetwork) -> None:
    """Give weight-normed layers gains that carry the signal through the depth, and no bias.

    With torch's own start the signal dies on the way and what reaches the decoder is bias. A
    convolution with filters of norm 1 keeps the power of a white input; a transposed one, of
    which two taps meet in each sample and half as many channels come out, needs sqrt(stride / 2).
    The first layer lifts the level of audio to about one, the last one starts nearly silent.
    """
    with torch.no_grad():
        for name, conv in model.named_modules():
            if not isinstance(conv, WeightNormConv1d | WeightNormConvTranspose1d):
                continue
            gain = 1.1
            if isinstance(conv, WeightNormConvTranspose1d):
                gain *= math.sqrt(conv.stride[0] / 2)
            if ".block.3." in name:
                gain *= 0.5
            conv.weight_g.fill_(gain)
            if conv.bias is not None:
                conv.bias.zero_()
        for edge, factor in ((model.encoder.model[0], 4.0), (model.decoder.model[-1], 0.1)):
            for conv in edge.modules():
                if isinstance(conv, WeightNormConv1d):
                    conv.weight_g.mul_(factor)
