"""A causal SEANet, block by block.

Every layer of the causal model looks only to the left, so a layer needs no more than the last
`context` columns of its own input from the block before (`plan`), and the LSTM its h and c.

    block 1   r r r|x x x x x x     r: reflected from the block itself, as in the whole audio
    block 2         . . . c c c|x x x x x x     c: context, the end of block 1
    last block                   . . . c c c|x x e     e: reflected to fill the last window

A block is a multiple of the hop, except the last, so strides never straddle two blocks. The
first block is at least as long as the deepest reflection (seven frames), unless it is also the
last one; then there is nothing to carry and `nn` runs it whole.
"""

from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from ..nn.conv import extra_padding
from ..nn.seanet import SLSTM
from .blocks import StreamState
from .modules import Modules
from .plan import Convolution, Layer, Plan, Residual


class _Cursor:
    """Hands each layer what it carries, in the order of the layers; None before the first block."""

    def __init__(self, before: list[Tensor]):
        self._before = iter(before)
        self._begins = not before
        self.after: list[Tensor] = []

    def take(self) -> Tensor | None:
        return None if self._begins else next(self._before)

    def put(self, x: Tensor) -> None:
        self.after.append(x.clone())


def run_block(plan: Plan, modules: Modules, x: Tensor, state: StreamState, last: bool) -> Tensor:
    """One block `[1, C, T]` of a stream through a causal encoder or decoder.

    With `last`, the stream ends here and T may be any length. The state is renewed.
    """
    cursor = _Cursor(state.slots)
    x = _run(plan.before, modules, x, cursor, last)
    if modules.lstm is not None:
        x = _lstm(modules.lstm, x, cursor)
    x = _run(plan.after, modules, x, cursor, last)
    state.slots = cursor.after
    return x


def _run(
    layers: Iterable[Layer], modules: Modules, x: Tensor, cursor: _Cursor, last: bool
) -> Tensor:
    for layer in layers:
        if isinstance(layer, Residual):
            shortcut = _run([layer.shortcut], modules, x, cursor, last)
            x = shortcut + _run(layer.block, modules, x, cursor, last)
            continue
        x = F.elu(x) if layer.elu else x
        if layer.transposed:
            x = _conv_transpose(layer, modules, x, cursor)
        else:
            x = _conv(layer, modules, x, cursor, last)
    return x


def _conv(layer: Convolution, modules: Modules, x: Tensor, cursor: _Cursor, last: bool) -> Tensor:
    left = layer.context
    length = x.shape[-1]
    if left:
        context = cursor.take()
        if context is None:
            context = x[..., 1 : left + 1].flip(-1)
        x = torch.cat([context, x], dim=-1)
        cursor.put(x[..., -left:])
    if last:
        extra = extra_padding(length, layer.window, layer.stride, left)
        if extra:
            x = F.pad(x, (0, extra), mode="reflect")
    return modules.convolution(layer)(x)


def _conv_transpose(layer: Convolution, modules: Modules, x: Tensor, cursor: _Cursor) -> Tensor:
    previous = cursor.take()
    if previous is None:
        previous = torch.zeros_like(x[..., :1])
    cursor.put(x[..., -1:])
    y: Tensor = modules.convolution(layer)(torch.cat([previous, x], dim=-1))
    return y[..., layer.stride : -layer.padding]


def _lstm(module: SLSTM, x: Tensor, cursor: _Cursor) -> Tensor:
    h, c = cursor.take(), cursor.take()
    y, (h, c) = module.step(x, None if h is None or c is None else (h, c))
    cursor.put(h)
    cursor.put(c)
    return y
