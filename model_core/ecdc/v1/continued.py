"""A file that exists, continued: after a crash, or to append. For programs that write files
themselves; no command uses it."""

from typing import BinaryIO

from .forwards import read_whole_chunks
from .parser import Parser
from .writer import Writer


def continue_file(fo: BinaryIO) -> Writer:
    """A writer for more chunks after the full ones of `fo`, which is cut there and left at its end.

    The index goes, and so do a chunk that is not whole and those that the end of the audio had
    cut: encode their samples again with what follows. The next chunk's place in the audio is
    `writer.next_start`. All is verified first; raises `BitstreamError`, and changes nothing, where
    something is damaged.
    """
    fo.seek(0)
    parser = Parser()
    writer = None
    size = 0
    for chunk in read_whole_chunks(fo, parser):
        writer = writer or Writer(parser.layout.header)
        if chunk.samples == parser.layout.full:
            size += len(writer.chunk(chunk.samples, chunk.codes, chunk.scales))
    writer = writer or Writer(parser.layout.header)
    fo.seek(parser.header_bytes + size)
    fo.truncate()
    return writer
