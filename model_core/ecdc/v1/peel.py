"""Fewer codebooks: a lower bandwidth, made from a file without decoding anything."""

from collections.abc import Iterator
from dataclasses import replace
from typing import BinaryIO

from ...errors import TruncatedBitstreamError
from .codes import keep_codebooks
from .forwards import read_chunks
from .header import Header
from .parser import Parser
from .writer import Writer


def drop_codebooks(fo: BinaryIO, num_codebooks: int) -> Iterator[bytes]:
    """The file `fo` with only its first `num_codebooks` codebooks, in pieces.

    Raises `ValueError` if it has fewer, or if its codes are coded with a language model;
    `BitstreamError` for a number that the model does not offer, and where the file is damaged;
    `TruncatedBitstreamError` where it is not complete.
    """
    parser = Parser()
    writer = None
    for chunk in read_chunks(fo, parser):
        layout = parser.layout
        if writer is None:
            writer = _writer(layout.header, num_codebooks)
            yield writer.header()
        frames = layout.frames(chunk.samples)
        codes = keep_codebooks(chunk.codes, num_codebooks, layout.config.bits_per_codebook, frames)
        yield writer.chunk(chunk.samples, codes, chunk.scales)
    if writer is None or parser.index is None:
        raise TruncatedBitstreamError("the file is not complete: it has no index")
    yield writer.finish(parser.index.original_samples)


def _writer(header: Header, num_codebooks: int) -> Writer:
    if header.lm:
        raise ValueError("codes that a language model coded must be decoded to drop codebooks")
    if num_codebooks > header.num_codebooks:
        raise ValueError(f"the file has {header.num_codebooks} codebooks")
    return Writer(replace(header, num_codebooks=num_codebooks))
