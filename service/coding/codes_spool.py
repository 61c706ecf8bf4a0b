"""Codes on their way to a client: spooled as they are made, read back a codebook at a time.

A stream's codes come as blocks `[K, T]`, time going on from block to block, but go out with each
codebook's row whole. So the blocks are kept as 16-bit numbers in a file and rows are gathered
from it: ten hours at 24 kbps are 173 MB there, and little is in memory at any time.
"""

from collections.abc import Iterator
from typing import BinaryIO

import numpy as np

from model_core.engine import EncodedBlock

_CODE_BYTES = 2
_GATHER = 64  # blocks of a row handed out together


class CodesSpool:
    """Blocks in the order they were encoded, codes below 2**16."""

    def __init__(self, file: BinaryIO, num_codebooks: int):
        self._file = file
        self.num_codebooks = num_codebooks
        self.frames: list[int] = []
        self.scales: list[float | None] = []
        self._offsets: list[int] = []
        self._size = 0

    def append(self, block: EncodedBlock) -> None:
        """Keep a block."""
        self._offsets.append(self._size)
        self._size += self._file.write(block.codes.astype("<u2").tobytes())
        self.frames.append(block.codes.shape[1])
        self.scales.append(block.scale)

    @property
    def total_frames(self) -> int:
        """Of all blocks."""
        return sum(self.frames)

    def row(self, codebook: int, blocks: range) -> Iterator[np.ndarray]:
        """The codes of one codebook in `blocks`, in pieces uint16 `[T]`."""
        for start in range(blocks.start, blocks.stop, _GATHER):
            some = range(start, min(start + _GATHER, blocks.stop))
            yield np.concatenate([self._row_of_block(codebook, block) for block in some])

    def _row_of_block(self, codebook: int, block: int) -> np.ndarray:
        size = self.frames[block] * _CODE_BYTES
        self._file.seek(self._offsets[block] + codebook * size)
        return np.frombuffer(self._file.read(size), "<u2")
