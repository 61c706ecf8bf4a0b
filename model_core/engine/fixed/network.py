"""A SEANet over blocks of one shape: streams that begin, go on and end in the same batch.

All that differs between the rows of a batch is data (lengths, whether a stream begins), never a
shape or a branch, so that the same kernels run each time and can be captured once.
"""

import torch
from torch import Tensor, nn

from ...nn.conv import SConv1d, SConvTranspose1d
from ...nn.lstm import SLSTM
from ...nn.seanet import SEANetResnetBlock
from .carried import Carried
from .rows import Rows, group_norm, only_inside, reflect_end, reflected_start, windows


def run_network(network: nn.Module, rows: Rows, carried: Carried | None) -> Rows:
    """`rows` through an encoder's or decoder's `model`.

    `carried` is for a causal network, which also needs lengths; without it each row is a whole
    signal. Layers compute in the type of their weights.
    """
    if isinstance(network, nn.Sequential):
        for layer in network:
            rows = run_network(layer, rows, carried)
        return rows
    if isinstance(network, SConv1d):
        return _conv(network, rows, carried)
    if isinstance(network, SConvTranspose1d):
        return _conv_transpose(network, rows, carried)
    if isinstance(network, SLSTM):
        return Rows(_lstm(network, rows.x, carried), rows.length)
    if isinstance(network, SEANetResnetBlock):
        skip = run_network(network.shortcut, rows, carried)
        back = run_network(network.block, rows, carried)
        return Rows(skip.x + back.x, rows.length)
    return Rows(network(rows.x), rows.length)


def _conv(module: SConv1d, rows: Rows, carried: Carried | None) -> Rows:
    conv, norm = module.conv.conv, module.conv.norm
    x, length = rows.x.to(conv.weight.dtype), rows.length
    if length is None:
        return Rows(module(x))
    left = module.padding_total - (0 if module.causal else module.padding_total // 2)
    right = module.padding_total - left + module.stride - 1
    if left or right:
        begins = torch.ones_like(length, dtype=torch.bool) if carried is None else carried.begins
        before = reflected_start(x, length, left)
        if carried is not None and left:
            context = carried.take(x.shape[1], left).to(x)
            before = torch.where(begins[:, None, None], before, context)
        size = x.shape[-1]
        x = torch.cat([before, x, x.new_zeros(*x.shape[:2], right)], dim=-1)
        if carried is not None and left:
            carried.put(x[..., size : size + left])
        reflect_end(x, left, length, begins, module)
    y, length = conv(x), windows(module, length)
    return Rows(group_norm(norm, y, length) if isinstance(norm, nn.GroupNorm) else y, length)


def _conv_transpose(module: SConvTranspose1d, rows: Rows, carried: Carried | None) -> Rows:
    convtr, norm = module.convtr.convtr, module.convtr.norm
    x, length = rows.x.to(convtr.weight.dtype), rows.length
    if length is None:
        return Rows(module(x))
    if carried is not None:
        previous = carried.take(x.shape[1], 1).to(x)
        carried.put(x[..., -1:])
        y = convtr(torch.cat([previous, x], dim=-1))
        y = y[..., module.stride : -module.padding_total]
        return Rows(y, length * module.stride)
    y = convtr(only_inside(x, length))
    if isinstance(norm, nn.GroupNorm):  # before the trimming: what is trimmed counts
        y = group_norm(norm, y, length * module.stride + module.padding_total)
    right = module.padding_total // 2
    y = y[..., module.padding_total - right : y.shape[-1] - right]
    return Rows(y, length * module.stride)


def _lstm(module: SLSTM, x: Tensor, carried: Carried | None) -> Tensor:
    x = x.to(next(module.lstm.parameters()).dtype)
    if carried is None:
        return module(x)
    shape = module.lstm.num_layers, module.lstm.hidden_size
    h, c = (carried.take(*shape).transpose(0, 1).to(x).contiguous() for _ in range(2))
    y, (h, c) = module.step(x, (h, c))
    carried.put(h.transpose(0, 1))
    carried.put(c.transpose(0, 1))
    return y
