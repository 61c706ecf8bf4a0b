"""A language model in integers: what `quantize` makes of float weights, and the evaluations use."""

from dataclasses import dataclass

import numpy as np

from ..config import LMConfig

ARITHMETIC = 1
"""The number of this arithmetic in files. Anything that changes a bit of a result gets another."""

HEADS = 8


@dataclass(frozen=True)
class Product:
    """`y = (sum_j weights[i, j] * x_j * multiplier[i] + offset[i]) >> shift`, cut to ±`limit`."""

    weights: np.ndarray
    """int8 `[out, in]`."""
    multiplier: np.ndarray
    """int64 `[out]`, at most 2**23."""
    offset: np.ndarray
    """int64 `[out]`: the bias, and one half for rounding."""
    shift: int
    limit: int


@dataclass(frozen=True)
class Norm:
    """`(n_j * gain[j] + offset[j]) >> 36` of a normalised `n`; the result has the scale of the sum
    that it goes into."""

    epsilon: int
    """Added to the sum of the squares."""
    gain: np.ndarray
    """int64 `[dim]`."""
    offset: np.ndarray
    """int64 `[dim]`."""


@dataclass(frozen=True)
class Layer:
    """One layer of the transformer."""

    query: Product
    key: Product
    value: Product
    first_key: np.ndarray
    """int64 `[dim]`: of the position of zeros with which every stream begins."""
    first_value: np.ndarray
    score_multiplier: int
    score_shift: int
    out: Product
    norm1: Norm
    hidden: Product
    hidden_bits: int
    """Fractional bits of what GELU takes and gives."""
    back: Product
    norm2: Norm


@dataclass(frozen=True)
class DepthHead:
    """What codebooks say of the later ones in their frame."""

    hidden: Product
    """From the last activations to the hidden sums."""
    embedding: np.ndarray
    """int32 `[K - 1, card, DEPTH_WIDTH]`: what each code adds to them."""
    back: Product
    """From those, after ReLU, to what is added to the residual sums."""
    epsilon: int
    """Of the normalisation of those."""


@dataclass(frozen=True)
class IntegerLM:
    """The whole model."""

    config: LMConfig
    embedding: np.ndarray
    """int32 `[K, card + 1, dim]`."""
    norm_in: Norm
    position_bits: int
    """Fractional bits of positions, and of the first sum."""
    input_shift: int
    """From there to the activations that the first layer's products take."""
    layers: tuple[Layer, ...]
    depth: DepthHead | None
    """None for a model that predicts all codebooks at once."""
    heads: tuple[Product, ...]
    """To logits in 1/1024 octaves."""
