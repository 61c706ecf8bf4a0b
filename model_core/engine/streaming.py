"""A causal SEANet, block by block.

Every layer of the causal model looks only to the left, so a layer needs no more than the last
samples of its own input from the block before: `padding_total` samples for a convolution, one
frame for a transposed convolution (whose kernel is twice its stride), h and c for the LSTM.

    block 1   r r r|x x x x x x     r: reflected from the block itself, as in the whole audio
    block 2         . . . c c c|x x x x x x     c: context, the end of block 1
    last block                   . . . c c c|x x e     e: reflected to fill the last window

A block is a multiple of the hop, except the last, so strides never straddle two blocks. The
first block is at least as long as the deepest reflection (seven frames), unless it is also the
last one; then there is nothing to carry and `nn` runs it whole.
"""

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from ..nn.conv import SConv1d, SConvTranspose1d, extra_padding
from ..nn.lstm import SLSTM
from ..nn.seanet import SEANetResnetBlock
from .items import StreamState


class _Cursor:
    """Hands each layer the slots of all streams of the batch, in the order of the layers."""

    def __init__(self, states: list[StreamState]):
        self.before = [state.slots for state in states]
        self.after: list[list[Tensor]] = [[] for _ in states]
        self.position = 0

    def take(self) -> list[Tensor | None]:
        slots = [old[self.position] if old else None for old in self.before]
        self.position += 1
        return slots

    def put(self, batch: Tensor) -> None:
        """`batch` `[B, ...]`: the new slot of each stream."""
        for new, slot in zip(self.after, batch.unbind(0), strict=True):
            new.append(slot.clone())


def run_block(network: nn.Module, x: Tensor, states: list[StreamState], last: bool) -> Tensor:
    """One block `[B, C, T]` of B streams through a causal encoder or decoder.

    Streams that begin and streams that go on may share a batch. With `last`, the streams end
    here and T may be any length. The states are renewed in place.
    """
    cursor = _Cursor(states)
    y = _run(network, x, cursor, last)
    for state, slots in zip(states, cursor.after, strict=True):
        state.slots = slots
    return y


def _run(module: nn.Module, x: Tensor, cursor: _Cursor, last: bool) -> Tensor:
    if isinstance(module, SConv1d):
        return _conv(module, x, cursor, last)
    if isinstance(module, SConvTranspose1d):
        return _conv_transpose(module, x, cursor)
    if isinstance(module, SLSTM):
        return _lstm(module, x, cursor)
    if isinstance(module, SEANetResnetBlock):
        return _run(module.shortcut, x, cursor, last) + _run(module.block, x, cursor, last)
    if isinstance(module, nn.Sequential):
        for layer in module:
            x = _run(layer, x, cursor, last)
        return x
    return module(x)


def _conv(module: SConv1d, x: Tensor, cursor: _Cursor, last: bool) -> Tensor:
    left = module.padding_total
    length = x.shape[-1]
    if left:
        contexts = [
            x[i, :, 1 : left + 1].flip(-1) if slot is None else slot
            for i, slot in enumerate(cursor.take())
        ]
        x = torch.cat([torch.stack(contexts), x], dim=-1)
        cursor.put(x[..., -left:])
    if last:
        extra = extra_padding(length, module.window, module.stride, left)
        if extra:
            x = F.pad(x, (0, extra), mode="reflect")
    return module.conv(x)


def _conv_transpose(module: SConvTranspose1d, x: Tensor, cursor: _Cursor) -> Tensor:
    nothing = torch.zeros_like(x[0, :, :1])
    previous = torch.stack([nothing if slot is None else slot for slot in cursor.take()])
    cursor.put(x[..., -1:])
    y = module.convtr(torch.cat([previous, x], dim=-1))
    return y[..., module.stride : -module.padding_total]


def _lstm(module: SLSTM, x: Tensor, cursor: _Cursor) -> Tensor:
    shape = (module.lstm.num_layers, module.lstm.hidden_size)
    state = []
    for _ in range(2):
        slots = [x.new_zeros(shape) if slot is None else slot for slot in cursor.take()]
        state.append(torch.stack(slots, dim=1))
    y, (h, c) = module.step(x, (state[0], state[1]))
    cursor.put(h.transpose(0, 1))
    cursor.put(c.transpose(0, 1))
    return y
