"""Every layer of a step alone, with what goes into it."""

from collections.abc import Callable, Iterator

import torch
from torch import nn

from model_core.engine.fixed.codebooks import Codebooks
from model_core.engine.fixed.network import run_layers
from model_core.engine.fixed.past import Past, past_size
from model_core.engine.fixed.rows import Rows
from model_core.engine.fixed.steps import Tensors
from model_core.engine.plan import Convolution, Layer, Residual
from model_core.nn.conv import SConv1d

from .parts import Parts

Call = Callable[[], Tensors]


def layers_of(parts: Parts) -> Iterator[tuple[str, Call]]:
    """What each layer is, and how it is run: convolutions in the order of the network with what
    they get there, then LSTM and quantiser with random numbers. (The host draws those: after a
    capture that failed, the device's generator does not.)"""
    causal = parts.config.causal
    for layer, rows in convolutions_of(parts):
        yield named(layer, rows, causal), _call(layer, rows, causal)
    frames = parts.config.frames(parts.config.block_samples)
    if parts.plan.lstm is not None:
        lstm = parts.plan.lstm.lstm
        x = torch.randn(frames, parts.rows, lstm.hidden_size).to(parts.device)
        yield f"LSTM of {lstm.hidden_size}, {frames} frames", lambda: {"x": lstm(x)[0]}
    codebooks = Codebooks(parts.model)
    if "codes" in parts.given:
        codes, count = parts.given["codes"].long(), parts.given["num_codebooks"]
        name = f"look-up in {codes.shape[1]} codebooks"
        yield name, lambda: {"x": codebooks.look_up(codes, count)}
    else:
        latent = torch.randn(parts.rows, parts.config.dimension, frames).to(parts.device)
        books = parts.variant.num_codebooks
        yield f"search of {books} codebooks", lambda: {"x": codebooks.search(latent, books)}


def convolutions_of(parts: Parts) -> Iterator[tuple[Convolution, Rows]]:
    """Each convolution and what goes into it, which is computed on the way."""
    causal = parts.config.causal
    length = parts.given["length"] if causal else None
    if "samples" in parts.given:
        x = parts.given["samples"]
    else:
        codes, count = parts.given["codes"].long(), parts.given["num_codebooks"]
        x = Codebooks(parts.model).look_up(codes, count)
    rows = Rows(x, length)
    for layer in (*parts.plan.before, *parts.plan.after):  # an LSTM changes no shape
        yield from _inside(layer, rows, causal)
        rows = _run(layer, rows, causal)


def _inside(layer: Layer, rows: Rows, causal: bool) -> Iterator[tuple[Convolution, Rows]]:
    if not isinstance(layer, Residual):
        yield layer, rows
        return
    yield layer.shortcut, rows
    for part in layer.block:
        yield part, rows
        rows = _run(part, rows, causal)


def _call(layer: Convolution, rows: Rows, causal: bool) -> Call:
    return lambda: {"x": _run(layer, rows, causal).x}


def _run(layer: Layer, rows: Rows, causal: bool) -> Rows:
    if not causal:
        return run_layers([layer], rows, None)
    carried = rows.x.new_zeros(len(rows.x), past_size([layer]))
    none = torch.zeros(len(rows.x), dtype=torch.bool, device=rows.x.device)
    return run_layers([layer], rows, Past(carried, none, none))


def named(layer: Convolution, rows: Rows, causal: bool) -> str:
    """What distinguishes it from others."""
    kind = "convolution" if isinstance(layer.module, SConv1d) else "transposed"
    inner = inner_of(layer)
    taps, stride, dilation = inner.kernel_size[0], inner.stride[0], inner.dilation[0]
    return (
        f"{kind} {inner.in_channels}->{inner.out_channels}, taps {taps}, stride {stride},"
        f" dilation {dilation}, {rows.x.shape[-1]} in{'' if causal else ', norm'}"
    )


def inner_of(layer: Convolution) -> nn.Conv1d | nn.ConvTranspose1d:
    """What multiplies in a layer."""
    module = layer.module
    return module.conv.conv if isinstance(module, SConv1d) else module.convtr.convtr
