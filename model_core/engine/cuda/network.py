"""Convolutions and codebooks on blocks of a fixed shape: what comes before a row and where it ends
is read from data, so that the work is always the same. A layer's input is written once, after its
ELU, into a buffer with room for its context: `[ past | x x x x x x x x | end ]`."""

import copy
from collections.abc import Iterable

import torch
from torch import Tensor
from torch.nn import functional as F

from ...nn.network import EncodecNetwork
from ...nn.rvq import extend_paths
from ..modules import Modules
from ..plan import Convolution, Layer, Residual, decoder_plan
from .rows import Past, Rows, only_inside, reflect_end, reflected_start, row_norm, windows


def run_layers(layers: Iterable[Layer], modules: Modules, rows: Rows, past: Past | None) -> Rows:
    """Run `rows` through the layers, which compute in the type of their weights.

    `past` is for causal networks, whose rows need lengths; without it each row is a whole signal.
    """
    for layer in layers:
        if isinstance(layer, Residual):
            skip = run_layers([layer.shortcut], modules, rows, past)
            back = run_layers(layer.block, modules, rows, past)
            rows = Rows(skip.x + back.x, rows.length)
        elif layer.transposed:
            rows = _transposed(layer, modules, rows, past)
        else:
            rows = _convolved(layer, modules, rows, past)
    return rows


def _convolved(layer: Convolution, modules: Modules, rows: Rows, past: Past | None) -> Rows:
    conv, norm, length = modules.convolution(layer), modules.norm(layer), rows.length
    ahead = layer.padding // 2 if past is None else 0
    left, right = layer.padding - ahead, ahead + layer.stride - 1
    padded, signal = _buffer(layer, rows.x, conv.weight.dtype, left, right)
    size = signal.shape[-1]
    if left:
        before = reflected_start(signal, length, left)
        if past is not None:
            carried = past.exchange(signal[..., size - left :])
            before = torch.where(past.begins[:, None, None], before, carried)
        padded[..., :left] = before
    if length is None:
        reach = ahead + -size % layer.stride
        padded[..., left + size : left + size + reach] = signal[..., size - 1 - reach : -1].flip(-1)
        padded[..., left + size + reach :] = 0
    else:
        padded[..., left + size :] = 0
        begins = torch.ones_like(length, dtype=torch.bool) if past is None else past.begins
        reflect_end(padded, left, length, begins, ahead, layer.stride)
        length = windows(length, layer.stride)
    y = conv(padded)
    if norm is not None:
        y = only_inside(y, length)
        y = row_norm(norm, y, length)
    return Rows(y, length)


def _transposed(layer: Convolution, modules: Modules, rows: Rows, past: Past | None) -> Rows:
    conv, norm, length = modules.convolution(layer), modules.norm(layer), rows.length
    stride, total = layer.stride, layer.padding
    padded, signal = _buffer(layer, rows.x, conv.weight.dtype, 0 if past is None else 1, 0)
    longer = None if length is None else length * stride
    if past is not None:  # its row of zeros comes before a stream
        padded[..., :1] = past.exchange(signal[..., -1:])
        # The samples trimmed at both ends belong to the neighbouring blocks.
        y = F.conv_transpose1d(padded, conv.weight, conv.bias, stride, padding=stride)
        return Rows(y, longer)
    y = conv(only_inside(signal, length))
    first = total - total // 2
    kept = slice(first, first + signal.shape[-1] * stride)
    if norm is None:
        return Rows(y[..., kept], longer)
    counted = None if longer is None else longer + total  # the trimmed samples too
    y = only_inside(y, counted)
    return Rows(row_norm(norm, y, counted, kept), longer)


def _buffer(
    layer: Convolution, x: Tensor, dtype: torch.dtype, left: int, right: int
) -> tuple[Tensor, Tensor]:
    """A buffer `[B, C, left + T + right]`, and its middle, which is the layer's input."""
    if not (left or right):
        x = (F.elu(x) if layer.elu else x).to(dtype)
        return x, x
    size = x.shape[-1]
    padded = x.new_empty(*x.shape[:2], left + size + right, dtype=dtype)
    middle = padded[..., left : left + size]
    if layer.elu:
        torch.ops.aten.elu.out(x.to(dtype), out=middle)
    else:
        middle.copy_(x)
    return padded, middle


def with_bfloat16_decoder(model: EncodecNetwork) -> EncodecNetwork:
    """A copy whose decoder convolves in bfloat16, which is also the type between its layers.

    Sums stay in float32 (as in the devices' own convolutions), and so do the LSTM, the codebooks
    and the last convolution: in bfloat16 it would round the audio.
    """
    model = copy.deepcopy(model)
    for layer in decoder_plan(model.config).convolutions[:-1]:
        model.get_submodule(layer.weights).to(torch.bfloat16)
    return model


_PATHS = 1 << 15
"""The most paths that are extended at once: 128 MB of distances."""


class Codebooks:
    """All codebooks of a model, `[K, bins, D]`, with the precomputed terms of their search."""

    def __init__(self, model: EncodecNetwork):
        """Copies the current codebooks, on the model's device."""
        entries = torch.stack([book.codebook.embed for book in model.quantizer.codebooks])
        self._count, self._bins, _ = entries.shape
        self._entries = entries.flatten(0, 1).contiguous()
        self._transposed = (-2 * entries).transpose(1, 2).contiguous()  # [K, D, bins]
        self._norms = entries.square().sum(2)  # [K, bins]
        self._first = torch.arange(0, self._count * self._bins, self._bins, device=entries.device)

    def search(self, latent: Tensor, count: int) -> Tensor:
        """Codes `[B, count, T]` of `latent` `[B, D, T]`; each book codes the last one's residual.

        The entry with the least `|e|^2 - 2 x e`, the first of several equal ones.
        """
        batch, dimension, frames = latent.shape
        residual = latent.transpose(1, 2).reshape(-1, dimension)
        codes = residual.new_empty(count, len(residual), dtype=torch.int64)
        for book in range(count):
            distance = torch.addmm(self._norms[book], residual, self._transposed[book])
            torch.argmin(distance, dim=1, out=codes[book])
            residual = residual - self._entries[codes[book] + book * self._bins]
        return codes.view(count, batch, frames).transpose(0, 1)

    def search_paths(self, latent: Tensor, books: Tensor, most: int, beam: int) -> Tensor:
        """As `search`, keeping the `beam` best paths after each book. Row b of the batch uses the
        first `books[b]` of the `most` books; its other codes are 0."""
        batch, _, frames = latent.shape
        parts_of = (n for n in range(1, batch + 1) if batch % n == 0)  # all of one shape
        rows = max(n for n in parts_of if n == 1 or n * frames * beam <= _PATHS)
        parts = zip(latent.split(rows), books.split(rows), strict=True)
        return torch.cat([self._paths(part, wanted, most, beam) for part, wanted in parts])

    def _paths(self, latent: Tensor, books: Tensor, most: int, beam: int) -> Tensor:
        batch, dimension, frames = latent.shape
        residual = latent.transpose(1, 2).reshape(-1, 1, dimension)
        entries = self._entries.view(self._count, self._bins, -1)
        paths = books.new_empty(0, len(residual), 1)
        codes = books.new_zeros(batch, most, frames)
        for book in range(most):
            residual, paths = extend_paths(residual, paths, entries[book], beam)
            best = paths[..., 0].view(book + 1, batch, frames).transpose(0, 1)
            ends = (books == book + 1)[:, None, None]
            codes[:, : book + 1] = torch.where(ends, best, codes[:, : book + 1])
        return codes

    def look_up(self, codes: Tensor, count: Tensor) -> Tensor:
        """`[B, D, T]`: the sum of the entries of `codes` `[B, K, T]` in the first `count` `[B]`
        books."""
        batch, _, frames = codes.shape
        used = torch.arange(self._count, device=codes.device) < count[:, None]  # [B, K]
        weights = used.to(self._entries.dtype)[:, None].expand(-1, frames, -1)
        numbers = codes.transpose(1, 2) + self._first
        summed = F.embedding_bag(
            numbers.reshape(-1, self._count),
            self._entries,
            mode="sum",
            per_sample_weights=weights.reshape(-1, self._count),
        )
        return summed.view(batch, frames, -1).transpose(1, 2)
