"""Where each chunk stands: the lengths of all chunks, equal neighbours stored once.

Memory is 24 bytes for a run, whatever counts a file claims, and there are at most `MOST_RUNS`.
"""

from array import array
from bisect import bisect_right

from ...errors import BitstreamError
from .varint import read_varint, varint

_RUN = 3
"""Equal lengths from which a group of their own is shorter."""
MOST_RUNS = 1 << 24
"""Chunks of one frame each, of changing lengths, fill a file of 62 hours with them."""


class Lengths:
    """The lengths, in bytes, of the chunks of a file."""

    def __init__(self) -> None:
        self._sizes = array("Q")  # of the chunks of each run
        self._firsts = array("Q")  # number of its first chunk
        self._offsets = array("Q")  # bytes before it
        self.count = 0
        self.bytes = 0

    def add(self, size: int, count: int = 1) -> None:
        """`count` more chunks of `size` bytes. Raises `BitstreamError` for too many."""
        if not self._sizes or self._sizes[-1] != size:
            if len(self._sizes) >= MOST_RUNS:
                raise BitstreamError(f"chunks change their length more than {MOST_RUNS} times")
            self._sizes.append(size)
            self._firsts.append(self.count)
            self._offsets.append(self.bytes)
        self.count += count
        self.bytes += size * count

    def locate(self, number: int) -> tuple[int, int]:
        """Bytes before chunk `number`, and its own."""
        if not 0 <= number < self.count:
            raise IndexError(f"chunk {number} of {self.count}")
        run = bisect_right(self._firsts, number) - 1
        size = self._sizes[run]
        return self._offsets[run] + (number - self._firsts[run]) * size, size

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, Lengths):
            return NotImplemented
        same_runs = self._sizes == other._sizes and self._firsts == other._firsts
        return same_runs and self.count == other.count

    def to_bytes(self) -> bytes:
        """Groups: a varint, twice the count of chunks, plus 1 for a run of equal lengths; then
        that length, or each one's, as a varint."""
        groups = bytearray()
        others: list[int] = []
        for run, size in enumerate(self._sizes):
            end = self._firsts[run + 1] if run + 1 < len(self._sizes) else self.count
            count = end - self._firsts[run]
            if count < _RUN:
                others += [size] * count
                continue
            groups += _group(others) + varint(2 * count + 1) + varint(size)
            others = []
        return bytes(groups + _group(others))

    @classmethod
    def from_bytes(cls, data: bytes, least: int, most: int, total: int) -> "Lengths":
        """The inverse: lengths in `least` to `most` that make up `total` bytes.

        Raises `BitstreamError` for any others, before they take memory.
        """
        lengths = cls()
        at = 0
        while at < len(data):
            group, at = _next(data, at)
            count, run = divmod(group, 2)
            if not count:
                raise BitstreamError("a group of the index is empty")
            for _ in range(1 if run else count):
                size, at = _next(data, at)
                if not least <= size <= most:
                    raise BitstreamError(f"the index has a chunk of {size} bytes")
                lengths.add(size, count if run else 1)
                if lengths.bytes > total:
                    raise BitstreamError("the index has more chunks than the file holds")
        if lengths.bytes != total:
            raise BitstreamError("the index has fewer chunks than the file holds")
        return lengths


def _group(sizes: list[int]) -> bytes:
    if not sizes:
        return b""
    return varint(2 * len(sizes)) + b"".join(varint(size) for size in sizes)


def _next(data: bytes, at: int) -> tuple[int, int]:
    found = read_varint(data, at)
    if found is None:
        raise BitstreamError("the index ends inside a number")
    return found
