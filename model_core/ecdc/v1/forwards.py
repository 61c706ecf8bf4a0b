"""A file object read once, forwards: its chunks, and a pass that verifies everything."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import BinaryIO

from .chunk import Chunk
from .header import Header
from .parser import Parser

BLOCK_BYTES = 64 * 1024


def read_chunks(fo: BinaryIO, parser: Parser) -> Iterator[Chunk]:
    """The chunks of the rest of `fo`, which need not seek; `parser` then knows header and index.

    Raises `BitstreamError`, `TruncatedBitstreamError` where the file ends inside something.
    """
    yield from read_whole_chunks(fo, parser)
    parser.end()


def read_whole_chunks(fo: BinaryIO, parser: Parser) -> Iterator[Chunk]:
    """The same as far as chunks are whole, wherever the file ends. Raises `BitstreamError`."""
    yield from parser.chunks()
    while data := fo.read(BLOCK_BYTES):
        parser.feed(data)
        yield from parser.chunks()


@dataclass(frozen=True)
class Summary:
    """A file all of whose chunks are intact."""

    header: Header
    chunks: int
    samples: int
    """Of the audio, at the model's rate."""
    original_samples: int
    """Of the recording at its own rate; 0 if that is not known."""
    complete: bool
    """False: there is no index. The file still grows, or was cut between two chunks."""


def verify(fo: BinaryIO) -> Summary:
    """Read all of `fo`, check every checksum and that the index fits.

    Raises `BitstreamError` or `TruncatedBitstreamError` at the first thing that is wrong.
    """
    parser = Parser()
    for _ in read_chunks(fo, parser):
        pass
    progress = parser.progress
    original = parser.index.original_samples if parser.index else 0
    header = parser.layout.header
    return Summary(header, progress.chunks, progress.samples, original, parser.complete)
