"""Arithmetic coding: a symbol of probability p costs about -log2(p) bits.

Source: reference `quantization/ac.py`; the bits are the same. The reference scales the range in
double precision; up to 26 bits its products are exact, so the integers here give the same.

    numbers of `bits` bits       0 ....... low ########### high ....... 2**bits - 1
    a symbol keeps its part                      ####
    leading bits that low and high share are settled: written and dropped
    while the range is under 2**24 numbers wide, one more bit is appended to every number
"""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np
from numpy.typing import NDArray

from ..errors import BitstreamError, TruncatedBitstreamError

if TYPE_CHECKING:
    from torch import Tensor

# Bits that may wait for the first differing one. Each further bit is half as likely, so real
# streams never come near; in a forged stream the numbers must not grow with its length.
_MAX_OPEN_BITS = 4096

# A byte is filled from its least significant bit; these bits are in reading order.
_REVERSED = bytes(int(f"{byte:08b}"[::-1], 2) for byte in range(256))


class _Range:
    """The range [low, high] of `bits`-bit numbers, the same in coder and decoder.

    A cdf of rounded probabilities may end a little past its range, and so may the `high` of the
    last symbols. As in the reference, such a `high` is kept, but only numbers up to `top` decode to
    the same symbol. (The reference's coder fails if `high` then needs one more bit, and after 61
    open bits, although its decoder reads on as this one does; for a symbol entirely beyond `top`
    it writes bits that cannot be decoded.)
    """

    __slots__ = ("_round_up", "bits", "high", "low", "precision", "top")

    def __init__(self, precision: int):
        if not 1 <= precision <= 26:
            raise ValueError(f"a range of {precision} bits is not in 1..26")
        self.precision = precision
        self._round_up = (1 << precision) - 1
        self.clear()

    def clear(self) -> None:
        self.low = self.high = self.top = self.bits = 0

    def lacking(self) -> int:
        """Bits to append so that the range is at least 2**precision wide."""
        return max(0, self.precision + 1 - (self.high - self.low + 1).bit_length())

    def append(self, bits: int) -> None:
        self.low <<= bits
        self.high = ((self.high + 1) << bits) - 1
        self.top = ((self.top + 1) << bits) - 1
        self.bits += bits

    def narrow(self, start: int, end: int) -> tuple[int, int]:
        """Keep the part of the symbol between the cdf values `start` and `end`.

        Returns the bits that this settles, as a number and their count. Raises `ValueError`
        if no number is left for the symbol.
        """
        width = self.high - self.low + 1
        low = self.low + ((start * width + self._round_up) >> self.precision)
        high = self.low + (((end - 1) * width) >> self.precision)
        top = min(self.top, high)
        if not self.low <= low <= top:
            raise ValueError(f"the cdf leaves no range to the symbol: {start} to {end}")
        open_bits = (low ^ high).bit_length()
        if open_bits > _MAX_OPEN_BITS:
            raise ValueError(f"the range is still open after {open_bits} bits")
        count = self.bits - open_bits
        if count <= 0:
            self.low, self.high, self.top = low, high, top
            return 0, 0
        mask = (1 << open_bits) - 1
        self.low, self.high, self.top, self.bits = low & mask, high & mask, top & mask, open_bits
        return low >> open_bits, count


class ArithmeticCoder:
    """Symbols in, bytes out. A cdf is a row of `build_stable_quantized_cdf`, `[N]`."""

    def __init__(self, total_range_bits: int = 24):
        self.total_range_bits = total_range_bits
        self._range = _Range(total_range_bits)
        self._ready = bytearray()
        self._rest = 0  # bits not yet in `_ready`, the first one the most significant
        self._rest_bits = 0

    def push(self, symbol: int, cdf: NDArray[np.int64]) -> None:
        """Code one symbol, as `push_many`."""
        self.push_many(np.array([symbol]), cdf[None])

    def push_many(self, symbols: NDArray[np.int64], cdfs: NDArray[np.int64]) -> None:
        """Code `symbols` `[K]` by `cdfs` `[K, N]`. Raises `ValueError` if a cdf has no range for
        its symbol."""
        if cdfs.ndim != 2 or symbols.shape != cdfs.shape[:1]:
            raise ValueError(f"shapes {symbols.shape} and {cdfs.shape} do not fit")
        if symbols.size and not 0 <= symbols.min() <= symbols.max() < cdfs.shape[1]:
            raise ValueError(f"symbols are not in 0..{cdfs.shape[1] - 1}")
        rows = np.arange(len(symbols))
        starts = np.where(symbols > 0, cdfs[rows, symbols - 1], 0)
        ends = cdfs[rows, symbols]
        for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
            self._range.append(self._range.lacking())
            self._write(*self._range.narrow(start, end))

    def _write(self, value: int, bits: int) -> None:
        self._rest = (self._rest << bits) | value
        self._rest_bits += bits
        if self._rest_bits >= 64:
            whole, left = divmod(self._rest_bits, 8)
            self._ready += (self._rest >> left).to_bytes(whole, "big").translate(_REVERSED)
            self._rest &= (1 << left) - 1
            self._rest_bits = left

    def take(self) -> bytes:
        """The bytes that are ready and not yet taken."""
        data = bytes(self._ready)
        self._ready.clear()
        return data

    def flush(self) -> bytes:
        """All bytes that remain, the last one filled up with zeros.

        With the last symbol, the decoder has read exactly to their end. The next push starts a
        new stream.
        """
        self._write(self._range.low, self._range.bits)
        self._range.clear()
        whole = -(-self._rest_bits // 8)
        last = (self._rest << (8 * whole - self._rest_bits)).to_bytes(whole, "big")
        self._rest = self._rest_bits = 0
        return self.take() + last.translate(_REVERSED)


class ArithmeticDecoder:
    """Bytes in, symbols out, by the same cdfs as in the coder.

    It reads a byte from `fo` only when it needs a bit of it. After the last symbol, `fo` is
    therefore at the end of what `flush` wrote, where the next segment begins.
    """

    def __init__(self, fo: BinaryIO, total_range_bits: int = 24):
        self.total_range_bits = total_range_bits
        self._fo = fo
        self._range = _Range(total_range_bits)
        self._current = 0  # the stream's own number in the range
        self._rest = 0  # bits read but not yet in `_current`
        self._rest_bits = 0

    def pull(self, cdf: NDArray[np.int64]) -> int:
        """The next symbol.

        Raises `TruncatedBitstreamError` if the stream ends, and `BitstreamError` if its number
        belongs to no symbol.
        """
        span = self._range
        if lacking := span.lacking():
            self._current = (self._current << lacking) | self._read(lacking)
            span.append(lacking)
        # The symbol is the first whose end is beyond our number, scaled to the cdf.
        width = span.high - span.low + 1
        target = ((self._current - span.low) << self.total_range_bits) // width
        symbol = int(cdf.searchsorted(target, "right"))
        if symbol == len(cdf):
            raise BitstreamError("the codes are corrupt: past the last symbol")
        try:
            settled, _ = span.narrow(cdf.item(symbol - 1) if symbol else 0, cdf.item(symbol))
        except ValueError as error:
            raise BitstreamError(f"the codes are corrupt: {error}") from None
        self._current -= settled << span.bits
        if not span.low <= self._current <= span.high:
            raise BitstreamError("the codes are corrupt: between two symbols")
        return symbol

    def pull_many(self, cdfs: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next symbols `[K]` by `cdfs` `[K, N]`; the same as K times `pull`."""
        return np.array([self.pull(cdf) for cdf in cdfs], np.int64)

    def _read(self, bits: int) -> int:
        while self._rest_bits < bits:
            data = self._fo.read(-(-(bits - self._rest_bits) // 8))
            if not data:
                raise TruncatedBitstreamError("the stream ends before the last symbol")
            more = int.from_bytes(data.translate(_REVERSED), "big")
            self._rest = (self._rest << 8 * len(data)) | more
            self._rest_bits += 8 * len(data)
        self._rest_bits -= bits
        value = self._rest >> self._rest_bits
        self._rest &= (1 << self._rest_bits) - 1
        return value


def build_stable_quantized_cdf(
    pdf: Tensor,
    total_range_bits: int,
    roundoff: float = 1e-8,
    min_range: int = 2,
    check: bool = True,
) -> Tensor:
    """The cumulative widths `[..., N]`, int64, of N symbols with probabilities `pdf` `[..., N]`.

    Symbol s gets the numbers from `cdf[s - 1]` (0 for the first) up to, but without, `cdf[s]`
    out of `2**total_range_bits`. Every symbol gets at least `min_range` of them, so that even
    the least likely one can be coded. Probabilities are first rounded down to a multiple of
    `roundoff` (0: unchanged), which hides most differences between machines. Apart from the
    integer sum, every step is element by element, so a batch gives the same bits as its rows.

    Raises `ValueError` if there are too many symbols for the range, if `min_range` is under 2,
    and, with `check`, if the widths exceed the range or one is too small.
    """
    if min_range < 2:
        raise ValueError(f"a min_range of {min_range} is under 2")
    total = 2**total_range_bits
    uniform = min_range * pdf.shape[-1] / total  # the part of the range shared evenly
    if not 0 < uniform <= 1:
        raise ValueError(
            f"{pdf.shape[-1]} symbols of at least {min_range} do not share a range of {total}"
        )
    pdf = pdf.detach()
    if roundoff:
        pdf = (pdf / roundoff).floor() * roundoff
    widths = (((1 - uniform) * total) * pdf).floor().long() + min_range
    cdf = widths.cumsum(dim=-1)
    if check and bool(((widths < min_range).any() | (cdf[..., -1] > total).any()).item()):
        raise ValueError("not probabilities: the widths do not fill the range")
    return cdf
