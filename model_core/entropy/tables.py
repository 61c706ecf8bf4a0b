"""Tables of integers, the same on every machine: they are computed with integers alone.

Fixed point with `_BITS` fractional bits; the last few may be wrong, far below what is rounded to.
"""

from functools import lru_cache
from math import isqrt

import numpy as np

from .fixed import OCTAVE, round_shift

_BITS = 160
_ONE = 1 << _BITS


@lru_cache(maxsize=1)
def powers() -> np.ndarray:
    """`2**28 * 2**(-i / 1024)`, rounded, for i in 0..1023: int64 `[1024]`."""
    root = _ONE << 1
    for _ in range(OCTAVE.bit_length() - 1):  # 2 ** (1 / 1024)
        root = isqrt(root << _BITS)
    step = (_ONE << _BITS) // root
    values, value = [], _ONE
    for _ in range(OCTAVE):
        values.append(round_shift(value, _BITS - 28))
        value = value * step >> _BITS
    return _frozen(values)


GELU_STEP_BITS = 10
GELU_SIZE = 6 << GELU_STEP_BITS
"""Beyond 6 the table's function is under 2**-27."""


@lru_cache(maxsize=1)
def gelu_table() -> np.ndarray:
    """What GELU lacks to ReLU: `2**16 * h * Phi(-h)`, rounded, at h = i / 1024: int64 `[6144]`.

    `Phi(-h) = 1/2 - h * phi(0) * (1 - h**2/6 + h**4/40 - ...)`.
    """
    density = (_ONE << _BITS) // isqrt(2 * _pi() << _BITS)  # 1 / sqrt(2 pi)
    values = []
    for index in range(GELU_SIZE):
        h = index << (_BITS - GELU_STEP_BITS)
        square = h * h >> _BITS
        term, total, n = h, 0, 0
        while term:
            total += term // (2 * n + 1)
            n += 1
            term = -(term * square >> _BITS) // (2 * n)
            if term == -1:  # of rounding down
                break
        tail = (_ONE >> 1) - (density * total >> _BITS)
        values.append(round_shift(h * tail >> _BITS, _BITS - 16))
    return _frozen(values)


@lru_cache(maxsize=8)
def positions(dim: int, count: int, bits: int) -> np.ndarray:
    """Cosines, then sines, of the positions 0..count - 1 at `dim / 2` periods, from 2 pi to
    10,000 times that, times `2**bits`, rounded: int64 `[count, dim]`. As `nn.lm.sin_embedding`."""
    half = dim // 2
    table = np.zeros((count, dim), np.int64)
    for index in range(half):
        speed = _power_of_ten_thousand(index, half - 1)
        cosine_step, sine_step = _cosine_and_sine(speed)
        cosine, sine = _ONE, 0
        for position in range(count):
            table[position, index] = round_shift(cosine, _BITS - bits)
            table[position, half + index] = round_shift(sine, _BITS - bits)
            cosine, sine = (
                (cosine * cosine_step - sine * sine_step) >> _BITS,
                (sine * cosine_step + cosine * sine_step) >> _BITS,
            )
    table.flags.writeable = False
    return table


def _power_of_ten_thousand(above: int, below: int) -> int:
    """`10000 ** (-above / below)`."""
    return _exponential(-_logarithm_of_ten_thousand() * above // max(1, below))


@lru_cache(maxsize=1)
def _logarithm_of_ten_thousand() -> int:
    """`ln(10000) = 4 ln(10)`, with `ln(10) = 3 ln(2) + ln(5/4)`, by `ln(a/b) = 2 artanh(...)`."""
    return 4 * (3 * _artanh_twice(3) + _artanh_twice(9))


def _artanh_twice(below: int) -> int:
    """`2 artanh(1 / below)`: ln 2 for 3, ln 5/4 for 9."""
    term, total, n = 2 * _ONE // below, 0, 1
    while term:
        total += term // n
        term //= below * below
        n += 2
    return total


def _exponential(x: int) -> int:
    """`exp(x)` for x <= 0: the series of `x / 2**16`, squared 16 times."""
    small = x >> 16
    term, total, n = _ONE, 0, 0
    while term not in (0, -1):
        total += term
        n += 1
        term = (term * small >> _BITS) // n
    for _ in range(16):
        total = total * total >> _BITS
    return total


def _cosine_and_sine(x: int) -> tuple[int, int]:
    """For 0 <= x <= 1."""
    sums, term, n = [0, 0], _ONE, 0
    while term:
        sums[n % 2] += term if n % 4 < 2 else -term
        n += 1
        term = (term * x >> _BITS) // n
    return sums[0], sums[1]


def _pi() -> int:
    """Machin's: `16 arctan(1/5) - 4 arctan(1/239)`."""
    return 16 * _arctan(5) - 4 * _arctan(239)


def _arctan(below: int) -> int:
    """`arctan(1 / below)`."""
    term, total, n = _ONE // below, 0, 1
    while term:
        total += term // n if n % 4 == 1 else -(term // n)
        term //= below * below
        n += 2
    return total


def _frozen(values: list[int]) -> np.ndarray:
    table = np.array(values, np.int64)
    table.flags.writeable = False
    return table
