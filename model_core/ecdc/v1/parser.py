"""Bytes in, chunks out: the reader of version 1, for bytes that come in any pieces.

It goes forwards only, holds no more than one chunk and what was fed, and checks everything: each
checksum, that each chunk follows the one before, and at the end that the index says the same.

    parser = Parser()
    for data in pieces:
        parser.feed(data)
        for chunk in parser.chunks():
            ...
    parser.end()
"""

from collections.abc import Iterator

from ...errors import BitstreamError, TruncatedBitstreamError
from .chunk import Chunk, read_chunk, read_head
from .header import Header, parse_header
from .index import INDEX, TRAILER_BYTES, Index, index_bytes, read_index, trailer_points_at
from .layout import Layout
from .progress import Progress


class Parser:
    """The push parser of one file. After an error it can only be thrown away."""

    def __init__(self, late: bool = False) -> None:
        """`late`: the first chunk may be any of the file's, as in a live stream that somebody has
        joined; then there is no index."""
        self._late = late
        self._buffer = bytearray()
        self._layout: Layout | None = None
        self._progress: Progress | None = None
        self._index_bytes = 0
        self.header_bytes = 0
        self.chunk_data = b""
        """The chunk that `chunks` gave last, as in the file."""
        self.index: Index | None = None
        """Once it was read: then all chunks were."""
        self.complete = False
        """Whether the index and the trailer were read, and nothing after them."""

    @property
    def header(self) -> Header | None:
        """Once enough was fed."""
        return None if self._layout is None else self._layout.header

    @property
    def layout(self) -> Layout:
        """Of the chunks; there is none before the header. Raises `TruncatedBitstreamError`."""
        if self._layout is None:
            raise TruncatedBitstreamError("the stream ends inside the .ecdc header")
        return self._layout

    @property
    def progress(self) -> Progress:
        """The chunks read so far. Raises as `layout`."""
        if self._progress is None:
            self._progress = Progress(self.layout)
        return self._progress

    @property
    def waiting(self) -> int:
        """Bytes fed that are not yet part of anything whole."""
        return len(self._buffer)

    def feed(self, data: bytes) -> None:
        """The next bytes. Raises `BitstreamError` if the header is wrong."""
        self._buffer += data
        if self._layout is None and (found := parse_header(self._buffer)):
            header, self.header_bytes = found
            self._layout = Layout(header)
            del self._buffer[: self.header_bytes]

    def chunks(self) -> Iterator[Chunk]:
        """The chunks that are whole by now, one at a time. Raises `BitstreamError` at what is
        damaged."""
        while self._layout and self.index is None and self._buffer:
            if self._buffer[0] == INDEX:
                if not self._read_index(self._layout):
                    return
            elif (chunk := self._read_chunk(self._layout)) is not None:
                yield chunk
            else:
                return
        if self.index is not None:
            self._read_trailer()

    def end(self) -> bool:
        """No more bytes come: whether the file is complete. One without an index is not, yet all
        its chunks are.

        Raises `TruncatedBitstreamError` if it ends inside anything.
        """
        chunks = self.progress.chunks  # raises without a header
        if self._buffer or (self.index is not None and not self.complete):
            where = f"after {chunks} chunks" if self.index is None else "inside its trailer"
            raise TruncatedBitstreamError(f"the stream is cut off {where}")
        return self.complete

    def _read_chunk(self, layout: Layout) -> Chunk | None:
        head = read_head(self._buffer, 0, layout)
        if head is None or len(self._buffer) < head.size:
            return None
        data = bytes(self._buffer[: head.size])
        chunk, _ = read_chunk(data, head, layout)
        if self._late and self._progress is None:
            self._progress = Progress(layout, chunk.number)
        try:
            self.progress.add(chunk.number, chunk.samples, data)
        except ValueError as error:
            raise BitstreamError(f"the chunks do not follow each other: {error}") from None
        del self._buffer[: head.size]
        self.chunk_data = data
        return chunk

    def _read_index(self, layout: Layout) -> bool:
        progress = self.progress
        size = index_bytes(self._buffer, progress.chunks)
        if size is None or len(self._buffer) < size:
            return False
        index = read_index(bytes(self._buffer[:size]), layout, progress.lengths.bytes)
        try:
            same = index == progress.index(index.original_samples)
        except ValueError as error:
            raise BitstreamError(f"the index comes too early: {error}") from None
        if not same:
            raise BitstreamError("the index does not list the chunks that are there")
        del self._buffer[:size]
        self.index, self._index_bytes = index, size
        return True

    def _read_trailer(self) -> None:
        if len(self._buffer) > TRAILER_BYTES or (self.complete and self._buffer):
            raise BitstreamError("something follows the end of the file")
        if len(self._buffer) == TRAILER_BYTES:
            if trailer_points_at(self._buffer) != self._index_bytes:
                raise BitstreamError("the trailer does not point to the index")
            self._buffer.clear()
            self.complete = True
