"""A file that can seek: any chunk by its number or by a sample, by means of the index."""

from collections.abc import Iterator
from typing import BinaryIO

from ...errors import BitstreamError
from ..header import read_exactly
from .chunk import MIN_CHUNK_BYTES, Chunk, read_chunk, read_head
from .forwards import BLOCK_BYTES, read_whole_chunks
from .header import Header
from .index import TRAILER_BYTES, Index, index_bytes, read_index, trailer_points_at
from .parser import Parser

_INDEX_BEGIN = 16
"""Bytes that are enough to tell how long an index is."""


class ChunkFile:
    """A version 1 file in `fo`, from its first byte on.

    A file without an index is read through once, and is as long as its whole chunks; `complete`
    is then false. Raises `BitstreamError` if header or index are damaged or do not fit the file's
    size, and in a file without an index for any damage.
    """

    def __init__(self, fo: BinaryIO):
        self._fo = fo
        parser = Parser()
        fo.seek(0)
        while parser.header is None and (data := fo.read(BLOCK_BYTES)):
            parser.feed(data)
        self.layout = parser.layout
        self._begin = parser.header_bytes
        place = fo.tell()
        index = self._read_index()
        self.complete = index is not None
        self.original_samples = index.original_samples if index else 0
        """Of the recording at its own rate; 0 if that is not known."""
        if index is None:
            fo.seek(place)
            for _ in read_whole_chunks(fo, parser):
                pass
        self.samples = index.samples if index else parser.progress.samples
        """Of the audio, at the model's rate."""
        self._lengths = index.lengths if index else parser.progress.lengths

    @property
    def header(self) -> Header:
        """What the file says before its first chunk."""
        return self.layout.header

    def __len__(self) -> int:
        """How many chunks there are."""
        return self._lengths.count

    def number_at(self, sample: int) -> int:
        """Number of the last chunk that covers `sample`. (At 48 kHz the one before may reach into
        it.) Raises `IndexError` for a sample that is not there."""
        if not 0 <= sample < self.samples:
            raise IndexError(f"sample {sample} of {self.samples}")
        return min(sample // self.layout.stride, len(self) - 1)

    def chunk_at(self, sample: int) -> Chunk:
        """The last chunk that covers `sample`. Raises as `number_at` and `chunk`."""
        return self.chunk(self.number_at(sample))

    def chunk(self, number: int) -> Chunk:
        """Chunk `number`. Raises `IndexError`, `BitstreamError` if it is damaged or another, and
        `TruncatedBitstreamError` if it is no longer there."""
        offset, size = self._lengths.locate(number)
        self._fo.seek(self._begin + offset)
        data = read_exactly(self._fo, size)
        head = read_head(data, 0, self.layout)
        if head is None or head.size != size:
            raise BitstreamError(f"chunk {number} has another length than the index says")
        chunk, _ = read_chunk(data, head, self.layout)
        if number != chunk.number or chunk.samples != self.layout.samples(number, self.samples):
            raise BitstreamError(f"where chunk {number} belongs stands another")
        return chunk

    def chunks(self, start: int = 0) -> Iterator[Chunk]:
        """The chunks from number `start` on. Raises as `chunk`."""
        for number in range(start, len(self)):
            yield self.chunk(number)

    def _read_index(self) -> Index | None:
        end = self._fo.seek(0, 2) - TRAILER_BYTES
        if end < self._begin:
            return None
        self._fo.seek(end)
        size = trailer_points_at(read_exactly(self._fo, TRAILER_BYTES))
        if size is None:
            return None
        before = end - size - self._begin
        if before < 0:
            raise BitstreamError("the trailer points before the first chunk")
        self._fo.seek(end - size)
        begin = read_exactly(self._fo, min(size, _INDEX_BEGIN))
        if index_bytes(begin, before // MIN_CHUNK_BYTES) != size:
            raise BitstreamError(f"where the trailer points is no index of {size} bytes")
        self._fo.seek(end - size)
        return read_index(read_exactly(self._fo, size), self.layout, before)
