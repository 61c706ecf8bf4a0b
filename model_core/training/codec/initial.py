"""Initial weights of a run."""

import math

import torch

from ...nn.conv import WeightNormConv1d, WeightNormConvTranspose1d
from ...nn.network import EncodecNetwork


def start_loud(model: EncodecNetwork) -> None:
    """Give weight-normed layers gains that keep the signal's level through the layers, and no bias.

    With torch's initial weights the signal vanishes and only bias reaches the decoder. A
    convolution with filters of norm 1 keeps the power of a white input; a transposed one, with two
    taps per output sample and half as many output channels, needs sqrt(stride / 2). The first layer
    raises the level of audio to about 1, the last one starts nearly silent.
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
