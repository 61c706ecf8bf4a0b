"""Multiply-adds per second of audio, counted by walking the networks of a configuration.

The count follows the definition of the network: a convolution of K taps costs `C_in · C_out · K`
per window, a transposed one the same per input sample, an LSTM layer of width H `4 · H · 2H` per
frame, the search of one codebook `bins · D` per frame. Element-wise work is not counted. Samples in
the overlap of two segments are coded twice and counted twice.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from functools import lru_cache
from typing import Any, Literal

import torch
from torch import Tensor, nn

from model_core.config import ModelConfig
from model_core.model import EncodecModel

Direction = Literal["encode", "decode"]


@lru_cache
def macs_per_second(config: ModelConfig, direction: Direction, bandwidth: float) -> float:
    """Multiply-adds per second of audio at `bandwidth` kbps.

    Raises `UnsupportedBandwidthError`.
    """
    codebooks = config.codebooks_for(bandwidth)
    samples = config.segment_length or config.sample_rate
    frames = config.frames(samples)
    with torch.device("meta"), torch.no_grad():  # only shapes: nothing is computed
        model = EncodecModel(config).eval()
        if direction == "encode":
            with _counting(model.encoder) as counts:
                model.encoder(torch.zeros(1, config.channels, samples))
            counts.append(frames * codebooks * config.bins * config.dimension)
        else:
            with _counting(model.decoder) as counts:
                model.decoder(torch.zeros(1, config.dimension, frames))
    stride = config.segment_stride or samples
    return sum(counts) * config.sample_rate / stride


@lru_cache
def recurrent_weights(config: ModelConfig, direction: Direction) -> int:
    """Weights by which the LSTM multiplies its own last output. A causal stream reads them anew
    for each frame; segments of one file can go through them side by side."""
    with torch.device("meta"):
        model = EncodecModel(config)
    network = model.encoder if direction == "encode" else model.decoder
    layers = [layer for layer in network.modules() if isinstance(layer, nn.LSTM)]
    return sum(4 * layer.hidden_size**2 * layer.num_layers for layer in layers)


@contextmanager
def _counting(network: nn.Module) -> Iterator[list[int]]:
    """Collects the multiply-adds of each layer that runs inside.

    Each LSTM hands on its input, which has its output's shape: without data, torch would go
    through thousands of steps for that.
    """
    counts: list[int] = []

    def see(layer: nn.Module, inputs: tuple[Any, ...], output: Any) -> None:
        counts.append(_of_layer(layer, inputs[0], output))

    def handed_on(x: Tensor, state: Any) -> tuple[Tensor, Any]:
        return x, state

    kinds = nn.Conv1d | nn.ConvTranspose1d | nn.LSTM
    layers = [layer for layer in network.modules() if isinstance(layer, kinds)]
    recurrent: list[nn.Module] = [layer for layer in layers if isinstance(layer, nn.LSTM)]
    hooks = [layer.register_forward_hook(see) for layer in layers]
    for layer in recurrent:
        layer.forward = handed_on
    try:
        yield counts
    finally:
        for hook in hooks:
            hook.remove()
        for layer in recurrent:
            del layer.forward


def _of_layer(layer: nn.Module, x: Tensor, y: Any) -> int:
    if isinstance(layer, nn.LSTM):  # x [T, B, C]
        widths = [layer.input_size] + [layer.hidden_size] * (layer.num_layers - 1)
        return len(x) * sum(4 * layer.hidden_size * (w + layer.hidden_size) for w in widths)
    if isinstance(layer, nn.ConvTranspose1d):
        windows = x.shape[-1]
    elif isinstance(layer, nn.Conv1d):
        windows = y.shape[-1]
    else:
        raise TypeError(f"the multiply-adds of {type(layer).__name__} are not known")
    return windows * layer.in_channels * layer.out_channels * layer.kernel_size[0] // layer.groups
