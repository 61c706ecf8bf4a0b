"""The `.ecdc` bitstream, version 1: a header, chunks that each decode alone, an index at the end.

Bytes only, no networks; `docs/format.md` describes them.
"""

from .chunk import Chunk
from .codes import keep_codebooks, pack_codes, unpack_codes
from .continued import continue_file
from .file import ChunkFile
from .forwards import Summary, read_chunks, read_whole_chunks, verify
from .header import Header, default_chunk
from .index import Index
from .layout import Layout
from .metadata import file_name
from .parser import Parser
from .peel import drop_codebooks
from .salvage import Gap, Salvage
from .writer import Writer

__all__ = [
    "Chunk",
    "ChunkFile",
    "Gap",
    "Header",
    "Index",
    "Layout",
    "Parser",
    "Salvage",
    "Summary",
    "Writer",
    "continue_file",
    "default_chunk",
    "drop_codebooks",
    "file_name",
    "keep_codebooks",
    "pack_codes",
    "read_chunks",
    "read_whole_chunks",
    "unpack_codes",
    "verify",
]
