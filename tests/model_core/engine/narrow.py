"""Networks that are small enough for many runs, and streams for them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import torch

from model_core.config import CONFIGS
from model_core.engine import DecodeItem, EncodedBlock, EncodeItem, Engine, StreamState
from model_core.model import EncodecModel
from model_core.nn.network import EncodecNetwork
from tests.signals import signal


def narrow_model(name: str, dtype: torch.dtype = torch.float32) -> EncodecModel:
    """The network of `name` with four filters, seeded weights and codebooks."""
    torch.manual_seed(7)
    config = replace(CONFIGS[name], n_filters=4, dimension=16)
    model = EncodecModel(config).to(dtype).eval()
    for parameter in model.parameters():
        parameter.data.add_(0.02 * torch.randn_like(parameter))
    for book in model.quantizer.codebooks:
        torch.nn.init.normal_(book.codebook.embed)
    return model


def streams_of(model: EncodecNetwork, lengths: Sequence[int]) -> list[np.ndarray]:
    """A signal `[C, n]` of each length, each another one."""
    config = model.config
    return [signal(config.channels, n, config.sample_rate, seed=n).numpy() for n in lengths]


def encode_items(engine: Engine, stream: np.ndarray, codebooks: int) -> list[EncodeItem]:
    """A stream `[C, n]` as the blocks that follow one another; or as segments."""
    state, size = StreamState(), engine.block_samples
    starts = range(0, stream.shape[1], size)
    return [
        EncodeItem(
            stream[:, start : start + size],
            codebooks,
            start == starts[-1],
            state if engine.config.causal else StreamState(),
        )
        for start in starts
    ]


def decode_items(engine: Engine, blocks: Sequence[EncodedBlock]) -> list[DecodeItem]:
    """Coded blocks as those of one stream; or as segments."""
    state = StreamState()
    return [
        DecodeItem(block, block is blocks[-1], state if engine.config.causal else StreamState())
        for block in blocks
    ]
