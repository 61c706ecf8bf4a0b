"""Integers of any width, packed without gaps, least significant bit first.

Source: reference `binary.py`, `BitPacker` and `BitUnpacker`.
"""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from ..errors import TruncatedBitstreamError


class BitPacker:
    """Packs integers in 0..2**bits - 1, `bits` in 1..32. Raises `ValueError` for any other."""

    def __init__(self, bits: int):
        self.bits = bits
        self._word = _word(bits)
        self._rest: NDArray[np.uint8] = np.empty(0, np.uint8)  # 0..7 bits short of a byte

    def push(self, values: NDArray[np.integer[Any]]) -> bytes:
        """Pack `values`; returns all whole bytes that are ready.

        `values` may have any shape and are packed in C order, so push the codes of a segment as
        `[T, K]`. Raises `ValueError` for values that do not fit, before it packs any.
        """
        flat = values.ravel()
        if flat.size and not (flat.min() >= 0 and flat.max() < 1 << self.bits):
            raise ValueError(f"values do not fit into {self.bits} bits")
        words = flat.astype(self._word).view(np.uint8).reshape(flat.size, self._word.itemsize)
        spread = np.unpackbits(words, axis=1, count=self.bits, bitorder="little").ravel()
        spread = np.concatenate([self._rest, spread])
        whole = len(spread) - len(spread) % 8
        self._rest = spread[whole:].copy()
        return np.packbits(spread[:whole], bitorder="little").tobytes()

    def flush(self) -> bytes:
        """The last byte, filled up with zeros, if bits remain. A push then starts a new stream."""
        last = np.packbits(self._rest, bitorder="little").tobytes()
        self._rest = self._rest[:0]
        return last


class BitUnpacker:
    """The inverse of `BitPacker`: bytes in, integers out."""

    def __init__(self, bits: int):
        self.bits = bits
        self._word = _word(bits)
        self._data = bytearray()
        self._used = 0  # bits of the first byte that are already taken

    def feed(self, data: bytes) -> None:
        self._data += data

    def missing(self, count: int) -> int:
        """Bytes to feed before `pull(count)` can succeed."""
        return max(0, -(-(self._used + count * self.bits) // 8) - len(self._data))

    def pull(self, count: int) -> NDArray[np.int64]:
        """The next `count` integers, `[count]`.

        Raises `TruncatedBitstreamError`, and takes none, after too few bytes.
        """
        if missing := self.missing(count):
            raise TruncatedBitstreamError(f"the codes end {missing} bytes too early")
        end = self._used + count * self.bits
        data = np.frombuffer(bytes(self._data[: -(-end // 8)]), np.uint8)
        spread = np.unpackbits(data, count=end, bitorder="little")[self._used :]
        words = np.zeros((count, 8 * self._word.itemsize), np.uint8)
        words[:, : self.bits] = spread.reshape(count, self.bits)
        whole, self._used = divmod(end, 8)
        del self._data[:whole]
        return np.packbits(words, axis=1, bitorder="little").view(self._word)[:, 0].astype(np.int64)


def _word(bits: int) -> np.dtype[Any]:
    """The smallest little-endian integer that holds `bits` bits."""
    if not 1 <= bits <= 32:
        raise ValueError(f"a width of {bits} bits is not in 1..32")
    return np.dtype("<u1" if bits <= 8 else "<u2" if bits <= 16 else "<u4")
