"""What is intact in a damaged file: every chunk whose checksum holds, and what is lost between.

Each place that could begin a chunk is tried, so bytes may be changed, missing or added anywhere.
A chunk's number keeps its place in the audio.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from ...errors import BitstreamError, TruncatedBitstreamError
from .chunk import (
    CUT_CHUNK,
    FULL_CHUNK,
    MIN_CHUNK_BYTES,
    Chunk,
    max_chunk_bytes,
    read_chunk,
    read_head,
)
from .forwards import BLOCK_BYTES
from .header import MAX_HEADER_BYTES, Header, parse_header
from .index import (
    INDEX,
    TRAILER_BYTES,
    index_bytes,
    read_lengths_of_audio,
    trailer_points_at,
)
from .layout import Layout

_BEGIN = re.compile(b"[%c%c%c]" % (FULL_CHUNK, CUT_CHUNK, INDEX))
# A file made to be slow has a plausible chunk at every byte. What trying costs, in bytes of
# checksum, and how much of it is worth a byte of the file. (Noise costs 25 a byte.)
_COST_OF_TRYING = 2000
_WORTH_OF_BYTE = 64
_WORTH_OF_FILE = 2**26


@dataclass(frozen=True)
class Gap:
    """A part of the audio, of the file, or of both that is lost."""

    start: int
    """Sample from which on audio is missing."""
    samples: int | None
    """How many are missing; 0 if only the file had something else there. None: nobody knows, since
    the end of the file is missing."""
    offset: int
    """Byte of the file from which on nothing could be read."""
    bytes: int


class Salvage:
    """The intact chunks of `fo`, in order, with gaps between them. `fo` need not seek.

    If the file's own header is damaged, `header` takes its place (that of another file made in the
    same way); without one, `BitstreamError` or `TruncatedBitstreamError` is raised.

    A gap is as long as the numbers of the chunks around it say, which in a forged file may be any
    length: bound it before you fill it.
    """

    def __init__(self, fo: BinaryIO, header: Header | None = None):
        self._fo = fo
        self._buffer = bytearray()
        self._offset = 0  # of the buffer, in the file
        self._effort = _WORTH_OF_FILE
        self.place = 0, 0
        """Where the chunk that was found last begins in the file, and its bytes."""
        self.samples: int | None = None
        """Length of the audio, once its end was found."""
        self.original_samples = 0
        """Of the recording at its own rate, once the index was found; 0 if that is not known."""
        self._fill(MAX_HEADER_BYTES)
        self.header, size = self._read_header(header)
        self._layout = Layout(self.header)
        self._drop(size)

    def __iter__(self) -> Iterator[Chunk | Gap]:
        layout = self._layout
        due, good = 0, self._offset  # the chunk to come; all bytes before are accounted for
        while found := self._find(due):
            chunk, size = found
            start, lost = due * layout.stride, self._offset - good
            self.place = self._offset, size
            self._drop(size)
            if chunk.number > due or lost:
                yield Gap(start, chunk.start - start, good, lost)
            due, good = chunk.number + 1, self._offset
            if chunk.samples < layout.full:  # the end of the audio cuts it
                self.samples = chunk.start + chunk.samples
            yield chunk
        lost = self._offset - good
        at_index = self._take_index()
        lost += 0 if at_index else self._skip_rest()
        start = min(due * layout.stride, self.samples or due * layout.stride)
        missing = None if self.samples is None else self.samples - start
        if missing != 0 or lost:
            yield Gap(start, missing, good, lost)
        if at_index and (lost := self._skip_rest()):
            yield Gap(start, 0, self._offset - lost, lost)

    def _read_header(self, instead: Header | None) -> tuple[Header, int]:
        try:
            found = parse_header(self._buffer)
        except BitstreamError:
            if instead is None:
                raise
            return instead, 0
        if found:
            return found
        if instead is None:
            raise TruncatedBitstreamError("the stream ends inside the .ecdc header")
        return instead, 0

    def _find(self, due: int) -> tuple[Chunk, int] | None:
        """Go to the next intact chunk with at least the number `due`; that chunk and its bytes.
        None at an intact index or at the end of the file."""
        most = max_chunk_bytes(self._layout)
        while self._effort > 0:
            self._fill(most)
            place = _BEGIN.search(self._buffer)
            self._drop(place.start() if place else len(self._buffer))
            self._fill(most)
            if not self._buffer:
                return None
            self._effort -= _COST_OF_TRYING
            if self._buffer[0] == INDEX and self._index_size():
                return None
            if chunk := self._try_chunk(due):
                self._effort += _COST_OF_TRYING
                return chunk
            self._drop(1)
        return None  # enough was tried

    def _try_chunk(self, due: int) -> tuple[Chunk, int] | None:
        layout = self._layout
        try:
            head = read_head(self._buffer, 0, layout)
            if head is None or head.size > len(self._buffer) or head.number < due:
                return None
            if self.samples is not None and head.number >= layout.chunks(self.samples):
                return None
            self._effort -= head.size
            chunk, _ = read_chunk(self._buffer[: head.size], head, layout)
        except BitstreamError:
            return None
        self._effort += head.size
        return chunk, head.size

    def _index_size(self) -> int:
        """Bytes of the intact index that the buffer begins with; 0 if it does not. Takes the
        lengths of the audio from it."""
        try:
            size = index_bytes(self._buffer, self._offset // MIN_CHUNK_BYTES) or 0
            self._fill(size)
            self._effort -= size
            lengths = read_lengths_of_audio(bytes(self._buffer[:size]), self._layout)
            self.samples, self.original_samples, _ = lengths
        except BitstreamError:
            return 0
        return size

    def _take_index(self) -> bool:
        """Read index and trailer; whether an index comes now."""
        size = self._index_size() if self._buffer[:1] == bytes([INDEX]) else 0
        self._drop(size)
        self._fill(TRAILER_BYTES)
        if size and trailer_points_at(self._buffer[:TRAILER_BYTES]) == size:
            self._drop(TRAILER_BYTES)
        return size > 0

    def _skip_rest(self) -> int:
        """Read to the end of the file; how many bytes that was."""
        before = self._offset
        while self._buffer:
            self._drop(len(self._buffer))
            self._fill(1)
        return self._offset - before

    def _fill(self, size: int) -> None:
        """Read until the buffer holds `size` bytes, or the file ends."""
        while len(self._buffer) < size and (data := self._fo.read(BLOCK_BYTES)):
            self._buffer += data
            self._effort += _WORTH_OF_BYTE * len(data)

    def _drop(self, size: int) -> None:
        del self._buffer[:size]
        self._offset += size
