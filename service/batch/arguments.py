"""The options of `encodec-batch`; those of compressing and decompressing are `encodec`'s."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from model_core import __version__
from model_core.audio import FORMATS
from model_core.cli.arguments import (
    CodingArguments,
    add_coding,
    add_machine,
    add_rate_and_channels,
    add_rescale,
    check_coding,
    check_rate_and_channels,
)
from model_core.completion import add_completion
from model_core.errors import EMPTY_NAME
from model_core.flags import positive

from .parts import COLUMNS
from .progress import COMMAND

_DESCRIPTION = """\
Compress archives of audio with the EnCodec codec, or decompress them, on all cores or GPUs of
this machine or of a Ray cluster. What is written is not done again, so a run that was
interrupted goes on where it was.
"""
_EPILOG = """\
SRC:
  A file, a folder, a glob (in quotes), a manifest (.csv, .tsv, .jsonl, .parquet) with a column
  of paths, or tar files as WebDataset has them; a path, or a URL that fsspec knows (s3://,
  gs://, hf://). A folder stands for the audio files in it and its subfolders or, if there are
  none, for the .ecdc files or else the tar files there. Audio is compressed, .ecdc files are
  decompressed.

DST:
  A folder or URL: a file for each input, in the same subfolders, .ecdc or --output.
  FOLDER/NAME.tar: shards, FOLDER/NAME-00000-of-00012.tar.
  FOLDER/NAME.parquet: a table of codes, in parts of such names.

exit codes:
  0 all done; 1 some failed, with a line on stderr for each (and in --report); 2 wrong usage;
  130 interrupted. An output appears whole or not at all.
"""


class Arguments(CodingArguments):
    """The command line, parsed."""

    source: str
    destination: str
    output: str
    rescale: bool
    sample_rate: int | str | None
    channels: int | str | None
    columns: tuple[str, ...]
    part_items: int
    part_bytes: int
    path_column: str | None
    split_column: str | None
    overwrite: bool
    report: Path | None
    workers: int | None
    threads: int
    ray: str | None
    """The address of a cluster; empty for the one that Ray finds or starts; None for processes."""


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        COMMAND,
        usage=f"{COMMAND} [OPTIONS] SRC DST",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("source", metavar="SRC", help="what to convert (see below)")
    add("destination", metavar="DST", help="where to write it (see below)")
    add_coding(parser, format=1)
    output_help = f"of decompressed audio: {', '.join(FORMATS)}; wav by default"
    add("--output", default="wav", choices=sorted(FORMATS), metavar="FORMAT", help=output_help)
    add_rescale(parser)
    add_rate_and_channels(parser)
    columns_help = (
        f"of a table, beside path, split, duration, samples and error: {','.join(COLUMNS)} "
        "(by default all)"
    )
    add("--columns", type=_columns, default=COLUMNS, metavar="NAMES", help=columns_help)
    items_help = "most items in a part of a table or a shard (1000)"
    add("--part-items", type=positive, default=1000, metavar="N", help=items_help)
    bytes_help = "bytes of input with which a part ends, such as 64M or 1G (256M)"
    add("--part-bytes", type=_bytes, default=256 << 20, metavar="SIZE", help=bytes_help)
    path_help = "of a manifest; by default path, file, file_name, audio_filepath or the like"
    add("--path-column", metavar="NAME", help=path_help)
    split_help = "of a manifest (split): each has parts of its own, and it stays in the table"
    add("--split-column", metavar="NAME", help=split_help)
    add("--overwrite", action="store_true", help="do again what is there")
    report_help = "write a line of JSON for each input: path, outcome, reason, seconds …"
    add("--report", type=Path, metavar="FILE", help=report_help)
    workers_help = "on this machine one for each core or GPU by default; on a cluster all it has"
    add("--workers", type=positive, metavar="N", help=workers_help)
    add("--threads", type=positive, default=1, metavar="N", help="of each worker on a CPU (1)")
    ray_help = (
        "work on a Ray cluster: the one at ADDRESS, or that Ray finds, or this machine; behind "
        "SRC and DST, or as --ray=ADDRESS; needs the extra encodec-service[ray]"
    )
    add("--ray", nargs="?", const="", metavar="ADDRESS", help=ray_help)
    add_machine(parser)
    add_completion(parser)
    add("--version", action="version", version=f"{COMMAND} {__version__}")
    return parser


def parse(argv: Sequence[str] | None) -> Arguments:
    """`argv` (None: the process's own) as `Arguments`; wrong usage exits with code 2."""
    ours = parser()
    arguments = ours.parse_args(argv, Arguments())
    if "" in (arguments.source, arguments.destination):
        ours.error(EMPTY_NAME)
    check_rate_and_channels(ours, arguments)
    check_coding(ours, arguments)
    return arguments


def _columns(text: str) -> tuple[str, ...]:
    names = [name.strip() for name in text.split(",") if name.strip()]
    for name in names:
        if name not in COLUMNS:
            raise argparse.ArgumentTypeError(f"{name!r} is none of {', '.join(COLUMNS)}")
    return tuple(name for name in COLUMNS if name in names)


def _bytes(text: str) -> int:
    number, unit = (text[:-1], text[-1:]) if text[-1:].upper() in _UNITS else (text, "")
    return positive(number) << _UNITS[unit.upper()]


_UNITS = {"": 0, "K": 10, "M": 20, "G": 30}
