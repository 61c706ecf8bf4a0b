"""The range coder of exact-LM chunks, in plain Python: what the compiled one is held to.

Coder and decoder keep a range of numbers of 56 bits. A symbol with the cumulative frequencies
`start` to `end` of 2**24 keeps that part of it. Bytes that are settled are written; whenever the
range is under 2**48 wide, another byte is.

    low ................ low + width      2**48 <= width <= 2**56
        start | end                       of 2**24 parts, each width >> 24 wide
"""

from ..errors import BitstreamError

TOTAL_BITS = 24
_WINDOW_BITS = 56
_LEAST = 1 << (_WINDOW_BITS - 8)
_MASK = _LEAST - 1


class RangeEncoder:
    """Symbols in, bytes out."""

    def __init__(self) -> None:
        self._bytes = bytearray()
        self._low = 0
        self._width = 1 << _WINDOW_BITS

    def push(self, start: int, end: int) -> None:
        """Code a symbol with the cumulative frequencies from `start` up to `end`."""
        part = self._width >> TOTAL_BITS
        self._low += start * part
        self._width = (end - start) * part
        while self._width < _LEAST:
            self._write()
            self._width <<= 8

    def finish(self) -> bytes:
        """The fewest bytes that, followed by any number of zeros, say all symbols."""
        last = self._low + self._width - 1
        for bits in range(_WINDOW_BITS, -1, -8):  # that need not be written
            number = (self._low + (1 << bits) - 1) >> bits << bits
            if number <= last:
                break
        self._low = number
        while self._low:
            self._write()
        return bytes(self._bytes).rstrip(b"\0")

    def _write(self) -> None:
        byte = self._low >> (_WINDOW_BITS - 8)
        self._low = (self._low & _MASK) << 8
        if byte > 255:
            place = len(self._bytes) - 1
            while self._bytes[place] == 255:
                self._bytes[place] = 0
                place -= 1
            self._bytes[place] += 1
        self._bytes.append(byte & 255)


class RangeDecoder:
    """Bytes in, symbols out: `target`, then `take` of the symbol that it lies in."""

    def __init__(self, data: bytes):
        self._bytes = iter(data)
        self._width = 1 << _WINDOW_BITS
        self._above = 0  # our number's distance from the range's low end
        for _ in range(_WINDOW_BITS // 8):
            self._read()

    def target(self) -> int:
        """A cumulative frequency of the next symbol. Raises `BitstreamError` where no symbol has
        it."""
        target = self._above // (self._width >> TOTAL_BITS)
        if target >= 1 << TOTAL_BITS:
            raise BitstreamError("the codes are corrupt: past the last symbol")
        return target

    def take(self, start: int, end: int) -> None:
        """Go on after the symbol with these cumulative frequencies."""
        part = self._width >> TOTAL_BITS
        self._above -= start * part
        self._width = (end - start) * part
        while self._width < _LEAST:
            self._read()
            self._width <<= 8

    def _read(self) -> None:
        self._above = self._above << 8 | next(self._bytes, 0)
