"""The exact language model in torch: the plain reading that the native one is held to.

Everything is an integer. Sums of products are taken in float64, where integers up to 2**53 are
exact in any order; all else in int64. So the results are the same on every device and in every
batch. `docs/exact-lm.md` describes each step.
"""

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional as F

from ..config import DEPTH_WIDTH
from .fixed import (
    EXPONENT_LIMIT,
    GAIN_BITS,
    MOST_FRAMES,
    NORMAL_BITS,
    OCTAVE,
    RESIDUAL_LIMIT,
    activation_limit,
    root_of_width,
    round_shift,
)
from .integer_lm import HEADS, IntegerLM, Layer, Norm, Product
from .tables import GELU_SIZE, GELU_STEP_BITS, gelu_table, positions, powers

TOTAL_BITS = 24
"""Cumulative frequencies go up to 2**24."""


class Past:
    """Keys and values of the frames so far of B streams; all streams are equally long."""

    def __init__(self, lm: IntegerLM, streams: int, device: torch.device | str = "cpu"):
        self.frames = 0
        self.keys, self.values = (
            [torch.tensor(first, device=device).expand(streams, 1, -1) for first in firsts]
            for firsts in (
                [layer.first_key for layer in lm.layers],
                [layer.first_value for layer in lm.layers],
            )
        )


class TorchLM:
    """Evaluates an `IntegerLM` on a device."""

    def __init__(self, lm: IntegerLM, device: torch.device | str = "cpu"):
        self._lm = lm
        self._device = device
        self._moved: dict[int, Tensor] = {}
        self._powers = self._tensor(powers())
        self._gelu = self._tensor(gelu_table())
        self._embedding = self._tensor(lm.embedding)

    def trunk(self, inputs: Tensor, past: Past) -> tuple[Tensor, Tensor]:
        """The transformer over the next frames: `inputs` int64 `[B, K, T]`, the codes of the frames
        before them plus one. Returns what the heads take, `[B, T, dim]`, as activations and as
        residual sums; `past` grows."""
        lm = self._lm
        codebooks = torch.arange(inputs.shape[1], device=inputs.device)
        total = self._embedding[codebooks[:, None], inputs].sum(dim=1)
        steps = inputs.shape[2]
        last = past.frames + steps
        table = self._tensor(positions(lm.config.dim, MOST_FRAMES, lm.position_bits))
        x = self._affine(normalize(total, lm.norm_in.epsilon), lm.norm_in)
        x = x + table[past.frames : last]
        limit = activation_limit(lm.config.dim)
        h = round_shift(x, lm.input_shift).clamp(-limit, limit)
        for index, layer in enumerate(lm.layers):
            h, x = self._layer(layer, index, h, x, past)
        past.frames = last
        return h, x

    def weights(self, h: Tensor, x: Tensor, k: int, earlier: Tensor) -> Tensor:
        """What codebook `k`'s symbols weigh by their `logits`, for `cumulative`: int64
        `[..., card]`."""
        return self.exponentials(self.logits(h, x, k, earlier))

    def logits(self, h: Tensor, x: Tensor, k: int, earlier: Tensor) -> Tensor:
        """Of codebook `k`'s symbols, in 1/1024 octaves: int64 `[..., card]`.

        `h` and `x` are `[..., dim]` of `trunk`, `earlier` `[k, ...]` are the codes of the codebooks
        before it in the same frame, which a model with a depth head needs.
        """
        depth = self._lm.depth
        if depth is not None:
            table = self._tensor(depth.embedding)
            hidden = self._product(h, depth.hidden) + sum(table[j][earlier[j]] for j in range(k))
            seen = hidden.clamp(0, activation_limit(DEPTH_WIDTH))
            y = (x + self._product(seen, depth.back)).clamp(-RESIDUAL_LIMIT, RESIDUAL_LIMIT)
            h = normal(normalize(y, depth.epsilon))
        return self._product(h, self._lm.heads[k])

    def _layer(
        self, layer: Layer, index: int, h: Tensor, x: Tensor, past: Past
    ) -> tuple[Tensor, Tensor]:
        y = x + self._product(self._attend(layer, index, h, past), layer.out)
        n = normalize(y.clamp(-RESIDUAL_LIMIT, RESIDUAL_LIMIT), layer.norm1.epsilon)
        h, x = normal(n), self._affine(n, layer.norm1)
        y = x + self._product(self._activate(layer, self._product(h, layer.hidden)), layer.back)
        n = normalize(y.clamp(-RESIDUAL_LIMIT, RESIDUAL_LIMIT), layer.norm2.epsilon)
        return normal(n), self._affine(n, layer.norm2)

    def _attend(self, layer: Layer, index: int, h: Tensor, past: Past) -> Tensor:
        """Each frame looks at itself and at up to `past_context` positions before it."""
        streams, steps, dim = h.shape
        keys = torch.cat([past.keys[index], self._product(h, layer.key)], dim=1)
        values = torch.cat([past.values[index], self._product(h, layer.value)], dim=1)
        past.keys[index], past.values[index] = keys, values
        q, k, v = (
            rows.double().view(streams, -1, HEADS, dim // HEADS).transpose(1, 2)
            for rows in (self._product(h, layer.query), keys, values)
        )
        scores = (q @ k.transpose(-1, -2)).long()
        scaled = round_shift(scores * layer.score_multiplier, layer.score_shift)
        scaled = scaled.clamp(-EXPONENT_LIMIT, EXPONENT_LIMIT)
        count = keys.shape[1]
        places = torch.arange(count, device=h.device)
        distance = places[count - steps :, None] - places
        visible = (distance >= 0) & (distance <= self._lm.config.past_context)
        scaled = scaled.masked_fill(~visible, -(2**40))
        weights = self.exponentials(scaled) >> 8
        total = weights.sum(dim=-1, keepdim=True)
        share = (weights * ((32767 << 36) // total) + (1 << 35)) >> 36
        seen = (share.double() @ v).long()
        limit = activation_limit(dim)
        mean = round_shift(seen, 15).clamp(-limit, limit)
        return mean.transpose(1, 2).reshape(streams, steps, dim)

    def _activate(self, layer: Layer, hidden: Tensor) -> Tensor:
        """GELU."""
        bits = layer.hidden_bits
        size = hidden.abs()
        place = (
            round_shift(size, bits - GELU_STEP_BITS)
            if bits >= GELU_STEP_BITS
            else size << (GELU_STEP_BITS - bits)
        )
        lacking = self._gelu[place.clamp(max=GELU_SIZE - 1)]
        lacking = torch.where(place < GELU_SIZE, lacking, 0)
        return hidden.clamp(min=0) - round_shift(lacking, 16 - bits)

    def exponentials(self, x: Tensor) -> Tensor:
        """`2**28 * 2**((x - max) / 1024)` along the last dimension."""
        below = x.amax(dim=-1, keepdim=True) - x
        octaves = (below // OCTAVE).clamp(max=40)
        return self._powers[below % OCTAVE] >> octaves

    def _product(self, x: Tensor, product: Product) -> Tensor:
        total = F.linear(x.double(), self._tensor(product.weights, torch.float64)).long()
        y = total * self._tensor(product.multiplier) + self._tensor(product.offset)
        return (y >> product.shift).clamp(-product.limit, product.limit)

    def _affine(self, n: Tensor, norm: Norm) -> Tensor:
        y = (n * self._tensor(norm.gain) + self._tensor(norm.offset)) >> GAIN_BITS
        return y.clamp(-RESIDUAL_LIMIT, RESIDUAL_LIMIT)

    def _tensor(self, array: np.ndarray, dtype: torch.dtype = torch.int64) -> Tensor:
        """An array of the model or a table on the device, moved once: they live as long as this."""
        if id(array) not in self._moved:
            self._moved[id(array)] = torch.tensor(array, dtype=dtype, device=self._device)
        return self._moved[id(array)]


def cumulative(weights: Tensor) -> Tensor:
    """Cumulative frequencies of symbols that weigh so much: int64 `[..., card + 1]`, from 0 to
    2**24, every symbol at least 1."""
    card = weights.shape[-1]
    sums = F.pad(weights.cumsum(dim=-1), (1, 0))
    rest = (1 << TOTAL_BITS) - card
    places = torch.arange(card + 1, device=weights.device)
    return places + sums * rest // sums[..., -1:]


def normalize(y: Tensor, epsilon: int) -> Tensor:
    """`(y - mean) / norm(y - mean)` along the last dimension, times 2**24."""
    centered = y.shape[-1] * y - y.sum(dim=-1, keepdim=True)
    square = (centered * centered).sum(dim=-1, keepdim=True) + epsilon
    half = (62 - bit_length(square)) // 2
    root = integer_root(square << (2 * half))
    inverse = (1 << 61) // root
    shift = 37 - half
    return (centered * inverse + (1 << (shift - 1))) >> shift


def normal(n: Tensor) -> Tensor:
    """Activations: `n` times the square root of the width, in fixed point."""
    dim = n.shape[-1]
    limit = activation_limit(dim)
    y = round_shift(n * root_of_width(dim), 40 - NORMAL_BITS)
    return y.clamp(-limit, limit)


def bit_length(x: Tensor) -> Tensor:
    """Of integers from 1 to 2**62: float64 finds it but for rounding up to the next power."""
    exponent = torch.frexp(x.double())[1].long()
    return exponent - (x < (1 << (exponent - 1))).long()


def integer_root(x: Tensor) -> Tensor:
    """The square root of integers up to 2**62, rounded down."""
    root = x.double().sqrt().long()
    root = root - (root * root > x).long()
    return root + ((root + 1) * (root + 1) <= x).long()
