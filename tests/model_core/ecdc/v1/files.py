"""Small version 1 files with codes from a seed, and what must be read from them."""

import io
import random
import struct
import tracemalloc
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import BinaryIO, cast

import numpy as np

from model_core.config import CONFIGS
from model_core.ecdc import v1

MONO, STEREO = "encodec_24khz", "encodec_48khz"


@dataclass(frozen=True)
class Example:
    """A file, and the chunks that it holds."""

    header: v1.Header
    samples: int
    chunks: list[v1.Chunk]
    pieces: list[bytes]
    """Header, chunks and end."""

    @property
    def data(self) -> bytes:
        return b"".join(self.pieces)

    @property
    def open(self) -> bytes:
        """Without an index, as a file that still grows."""
        return b"".join(self.pieces[:-1])

    @property
    def bounds(self) -> list[int]:
        """Byte offsets at which the chunks begin, and the last one ends."""
        return list(np.cumsum([len(piece) for piece in self.pieces]).tolist())[:-1]


def example(
    header: v1.Header, samples: int, seed: int = 0, original_samples: int = 0, sizes: int = 40
) -> Example:
    """A whole file of `samples` samples. With a language model the codes are `sizes` bytes at most,
    of no meaning."""
    draw = random.Random(seed)
    writer = v1.Writer(header)
    layout = writer.layout
    chunks, pieces = [], [writer.header()]
    for number in range(layout.chunks(samples)):
        covered = layout.samples(number, samples)
        scales = tuple(_float32(draw.uniform(0, 2)) for _ in range(layout.scales(covered)))
        if header.lm:
            codes = draw.randbytes(draw.randint(1, min(sizes, layout.code_bytes(covered)[1])))
        else:
            codes = v1.pack_codes(_codes(draw, header, layout.frames(covered)), 10)
        chunks.append(v1.Chunk(number, number * layout.stride, covered, scales, codes))
        pieces.append(writer.chunk(covered, codes, scales))
    pieces.append(writer.finish(original_samples))
    return Example(header, samples, chunks, pieces)


def small(model: str = MONO, samples: int = 3000, chunk: int = 4, **fields: object) -> Example:
    """A file of few and short chunks."""
    codebooks = 2 if model == MONO else CONFIGS[model].codebooks_for(3.0)
    meta = {"lm": 0, "rate": 44_100, "tags": (("TITLE", "é"),)} | fields
    return example(v1.Header(model, codebooks, chunk=chunk, **meta), samples)  # type: ignore[arg-type]


def parsed(data: bytes, step: int = 0) -> tuple[v1.Parser, list[v1.Chunk]]:
    """`data` fed to a parser in pieces of `step` bytes; the parser, not ended, and the chunks."""
    parser = v1.Parser()
    chunks = []
    for start in range(0, len(data), step or max(1, len(data))):
        parser.feed(data[start : start + step] if step else data)
        chunks += list(parser.chunks())
    return parser, chunks


def forwards(data: bytes) -> BinaryIO:
    """A file object that cannot seek, and reads a few bytes at a time."""
    return cast(BinaryIO, _Forwards(data))


class _Forwards:
    def __init__(self, data: bytes):
        self._file = io.BytesIO(data)

    def read(self, size: int) -> bytes:
        return self._file.read(min(size, 7))


def _codes(draw: random.Random, header: v1.Header, frames: int) -> np.ndarray:
    count = header.num_codebooks * frames
    codes = np.array([draw.getrandbits(10) for _ in range(count)])
    return codes.reshape(header.num_codebooks, frames)


def _float32(value: float) -> float:
    (rounded,) = struct.unpack("!f", struct.pack("!f", value))
    return float(rounded)


@contextmanager
def memory_below(most: int) -> Iterator[None]:
    """Python's allocations in this block stay below `most` bytes."""
    tracemalloc.start()
    try:
        yield
        assert tracemalloc.get_traced_memory()[1] < most
    finally:
        tracemalloc.stop()
