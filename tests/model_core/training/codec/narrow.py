"""Networks that are small enough for a test, with entries in their codebooks."""

import torch

from model_core.config import ModelConfig
from model_core.nn.network import EncodecNetwork


def narrow(config: ModelConfig, filters: int) -> EncodecNetwork:
    torch.manual_seed(1)
    model = EncodecNetwork(config.with_filters(filters)).eval()
    for layer in model.quantizer.codebooks:
        layer.codebook.embed.normal_(std=0.1)
        layer.codebook.inited.fill_(1)
    return model
