"""Fixed point: the widths that the exact language model computes in, and rounding."""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from torch import Tensor

Integers = TypeVar("Integers", int, "Tensor")

OCTAVE = 1024
"""Steps of an exponent: scores and logits are in 1/1024 of a power of two."""

NORMAL_BITS = 10
"""Fractional bits of normalised activations: at most sqrt(255) = 15.97 of them fit 14 bits."""

GAIN_BITS = 36
"""Fractional bits of a norm's gain and bias."""

RESIDUAL_LIMIT = 2**18 - 1
"""Of the sums that are normalised: the sum of their squares, 256 times each, stays in 63 bits."""

EXPONENT_LIMIT = 2**28
"""Of scores and logits, in steps of an exponent."""

MAX_WIDTH = 256
MOST_FRAMES = 1024
"""Of a chunk: positions begin anew in each."""


def root_of_width(dim: int) -> int:
    """Its square root, with 16 fractional bits, rounded down."""
    return isqrt(dim << 32)


def round_shift(x: Integers, bits: int) -> Integers:
    """`x / 2**bits`, rounded to the nearest integer, halves up."""
    return (x + (1 << bits >> 1)) >> bits


def activation_limit(inner: int) -> int:
    """The greatest activation, `2**n - 1`, of which `inner` times 127 fit 32 bits with sign."""
    return _limit((2**31 - 1) // (127 * inner))


def score_limit(head: int) -> int:
    """The greatest element, `2**n - 1`, of queries and keys of `head` elements, likewise."""
    most = 15
    while head * (2**most - 1) ** 2 >= 2**31:
        most -= 1
    return int(2**most) - 1


def _limit(most: int) -> int:
    return int(2 ** min(15, (most + 1).bit_length() - 1)) - 1
