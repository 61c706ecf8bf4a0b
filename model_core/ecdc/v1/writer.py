"""Writes a version 1 file, chunk by chunk; what is written so far can be read at any time."""

from collections.abc import Sequence

from ..header import MAX_AUDIO_LENGTH
from .chunk import chunk_bytes
from .header import Header
from .layout import Layout
from .progress import Progress


class Writer:
    """Returns the bytes of a file, to be put one after the other."""

    def __init__(self, header: Header):
        self.layout = Layout(header)
        self._progress = Progress(self.layout)

    @property
    def next_start(self) -> int:
        """Sample that the next chunk begins with."""
        return self._progress.chunks * self.layout.stride

    def header(self) -> bytes:
        """The first bytes of a new file."""
        return self.layout.header.to_bytes()

    def chunk(self, samples: int, codes: bytes, scales: Sequence[float] = ()) -> bytes:
        """The next chunk: `samples` samples from its start to the end of its last segment, codes
        as `pack_codes` makes them or as the language model coded them, a scale for each segment.

        Raises `ValueError` for what cannot come next.
        """
        number = self._progress.chunks
        data = chunk_bytes(self.layout, number, samples, codes, scales)
        self._progress.add(number, samples, data)
        return data

    def finish(self, original_samples: int = 0) -> bytes:
        """The last bytes: the index and the trailer. `original_samples`: of the recording at its
        own rate, 0 if not known.

        Raises `ValueError` if chunks are missing.
        """
        if not 0 <= original_samples <= MAX_AUDIO_LENGTH:
            raise ValueError(f"{original_samples} samples of the original")
        return self._progress.index(original_samples).to_bytes(self.layout)
