"""The chunks of one file so far, each checked to follow the one before; the same in the writer and
in readers."""

from .checksum import CRC_BYTES, crc_of
from .index import Index
from .layout import Layout
from .lengths import Lengths


class Progress:
    """What the index at the end must say, kept while chunks are written or read."""

    def __init__(self, layout: Layout, first: int = 0):
        """`first`: the number of the first chunk, where those before it are not there."""
        self._layout = layout
        self._first = first
        self.samples = first * layout.stride
        """From the start of the audio to the end of the last chunk."""
        self.lengths = Lengths()
        self._chain = layout.crc
        self._cut = False

    @property
    def chunks(self) -> int:
        """How many there are."""
        return self.lengths.count

    def add(self, number: int, samples: int, data: bytes) -> None:
        """Chunk `number`, which is `data`, covers `samples`. Raises `ValueError`, and adds nothing,
        if it does not follow."""
        expected = self._first + self.chunks
        start = expected * self._layout.stride
        if number != expected:
            raise ValueError(f"chunk {number} stands where chunk {expected} belongs")
        end = start + samples
        if self._cut and start >= self.samples:
            raise ValueError(f"chunk {number} follows the end of the audio")
        if end != self.samples if self._cut else end < self.samples:
            raise ValueError(f"chunk {number} ends where it cannot: {end} after {self.samples}")
        self._cut = samples < self._layout.full
        self.samples = end
        self._chain = crc_of(data[-CRC_BYTES:], self._chain)
        self.lengths.add(len(data))

    def index(self, original_samples: int = 0) -> Index:
        """The index of these chunks. Raises `ValueError` if they are not a whole file."""
        if not self.chunks:
            raise ValueError("there is no chunk")
        if self._layout.chunks(self.samples) != self.chunks:
            raise ValueError("the last chunk is missing")
        return Index(self.samples, original_samples, self._chain, self.lengths)
