"""Every layer of a step alone, with its input."""

from collections.abc import Callable, Iterator

import torch

from model_core.engine.cuda.network import Codebooks, run_layers
from model_core.engine.cuda.rows import Past, Rows, past_size
from model_core.engine.cuda.steps import Tensors
from model_core.engine.plan import Convolution, Layer, Residual

from .parts import Parts

Call = Callable[[], Tensors]


def layers_of(parts: Parts) -> Iterator[tuple[str, Call]]:
    """Each layer's description and its call: convolutions in the network's order with their real
    inputs, then LSTM and quantiser with random numbers. (The host draws them: after a failed
    capture, the device's generator does not work.)"""
    causal = parts.config.causal
    for layer, rows in convolutions_of(parts):
        yield named(layer, rows, causal), _call(parts, layer, rows)
    frames = parts.config.frames(parts.config.block_samples)
    if parts.modules.lstm is not None:
        lstm = parts.modules.lstm.lstm
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
    """Each convolution and its input, which is computed on the way."""
    length = parts.given["length"] if parts.config.causal else None
    if "samples" in parts.given:
        x = parts.given["samples"]
    else:
        codes, count = parts.given["codes"].long(), parts.given["num_codebooks"]
        x = Codebooks(parts.model).look_up(codes, count)
    rows = Rows(x, length)
    for layer in (*parts.plan.before, *parts.plan.after):  # an LSTM keeps the shape
        yield from _inside(parts, layer, rows)
        rows = _run(parts, layer, rows)


def _inside(parts: Parts, layer: Layer, rows: Rows) -> Iterator[tuple[Convolution, Rows]]:
    if not isinstance(layer, Residual):
        yield layer, rows
        return
    yield layer.shortcut, rows
    for part in layer.block:
        yield part, rows
        rows = _run(parts, part, rows)


def _call(parts: Parts, layer: Convolution, rows: Rows) -> Call:
    return lambda: {"x": _run(parts, layer, rows).x}


def _run(parts: Parts, layer: Layer, rows: Rows) -> Rows:
    if not parts.config.causal:
        return run_layers([layer], parts.modules, rows, None)
    carried = rows.x.new_zeros(len(rows.x), past_size([layer]))
    none = torch.zeros(len(rows.x), dtype=torch.bool, device=rows.x.device)
    return run_layers([layer], parts.modules, rows, Past(carried, none, none))


def named(layer: Convolution, rows: Rows, causal: bool) -> str:
    """A description that distinguishes the layer from others."""
    kind = "transposed" if layer.transposed else "convolution"
    return (
        f"{kind} {layer.in_channels}->{layer.out_channels}, taps {layer.kernel}, stride"
        f" {layer.stride}, dilation {layer.dilation}, {rows.x.shape[-1]} in"
        f"{'' if causal else ', norm'}"
    )
