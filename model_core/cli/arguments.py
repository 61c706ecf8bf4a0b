"""The options of the command (those of the reference's `__main__.py`, and more)."""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from .. import __version__
from ..completion import add_completion, completes
from ..config import ENCODEC_24KHZ, ENCODEC_48KHZ, config_of
from ..errors import EMPTY_NAME, UnsupportedBandwidthError
from ..flags import Range, number_in
from .suffixes import AUDIO, ECDC

if TYPE_CHECKING:
    from ..codec import Coding

_DESCRIPTION = """\
High fidelity neural audio codec. An .ecdc input is decompressed to .wav, or to .flac,
.opus (.ogg) or .mp3, or to bare samples, .f32 or .s16, if the output is called so; any
other input is compressed to .ecdc, or, if the output is a .wav, compressed and
decompressed again.
"""
_USAGE = """\
encodec [OPTIONS] INPUT [OUTPUT]
       encodec [OPTIONS] [-o DIR] INPUT...
       encodec play [--start S] [--end S] FILE..."""
PLAY = "play"
_EPILOG = """\
names:
  Without OUTPUT, x.wav becomes x.ecdc and x.ecdc becomes x_decompressed.wav, in the
  folder of the input.

one input or many:
  With two names the second is the OUTPUT if it ends in .wav, or is no file yet; if the
  first is an .ecdc, also if it ends in the name of another format (see above), otherwise
  also if it ends in .ecdc. With more names, with -o, or with a folder, every name is an
  input. A name that begins with a dash goes behind --.

damaged files:
  Damage is an error. With --salvage an .ecdc file is decompressed as far as it is intact,
  silent where it is not, and a line on stderr says how much is lost. --info finds damage
  without decompressing; only format 1 has checksums that show all of it.

playing:
  play as the first name plays .ecdc files, and those in folders, on the sound device; it
  needs the extra encodec-service[play]. Ctrl-C stops. Where a file called play is in the
  current folder, or behind --, that file is meant.

folders:
  A folder stands for the audio files in it and its subfolders or, if there are none, for
  the .ecdc files there; hidden ones are left out. With -o DIR its subfolders are made
  again in DIR. Outputs that exist are skipped, with -f overwritten. A line on stderr for
  each file says what was made.

pipes:
  INPUT - is stdin, whose first bytes tell whether it is to be decompressed; its output is
  stdout unless OUTPUT names a file. OUTPUT - is stdout: .ecdc when compressing, WAV when
  decompressing.

exit codes:
  0 all done; 1 failed, with a line on stderr for each input that did, or --info found a
  damaged file; 2 wrong usage; 130 interrupted (Ctrl-C), 143 by SIGTERM, 129 by SIGHUP.
  A file appears whole or not at all; stdout has what was made before an error.
"""


class CodingArguments(argparse.Namespace):
    """What `add_coding` and `add_machine` add. `bandwidth` in kbps."""

    bandwidth: float
    hq: bool
    lm: bool
    effort: int
    format: int
    verify: bool
    device: str
    weights: str | None

    @property
    def model(self) -> str:
        """The model to compress with."""
        return (ENCODEC_48KHZ if self.hq else ENCODEC_24KHZ).name

    @property
    def coding(self) -> "Coding":
        """What is asked of a compression."""
        from ..codec import Coding

        return Coding(
            bandwidth=self.bandwidth,
            lm=self.lm,
            format=self.format,
            effort=self.effort,
            verify=self.verify,
        )


class Arguments(CodingArguments):
    """The command line, parsed. `start` and `end` in seconds."""

    paths: list[str]
    play: bool
    output_dir: Path | None
    force: bool
    rescale: bool
    info: bool
    salvage: bool
    start: float
    end: float | None
    sample_rate: int | str | None
    channels: int | str | None
    decompress_suffix: str


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        "encodec",
        usage=_USAGE,
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    paths_help = "audio or .ecdc file, folder, or - (see below)"
    completes(add("paths", nargs="*", metavar="INPUT", help=paths_help), {ECDC, *AUDIO})
    add_coding(parser, format=0)
    add("-f", "--force", action="store_true", help="overwrite outputs that exist")
    suffix_help = "what to add to the name of a decompressed file without OUTPUT (_decompressed)"
    add(
        "-s",
        "--decompress_suffix",
        type=_suffix,
        default="_decompressed",
        metavar="SUFFIX",
        help=suffix_help,
    )
    add_rescale(parser)
    info_help = "say what .ecdc files are and whether they are intact; makes no files"
    add("--info", action="store_true", help=info_help)
    start_help = "where decompressed audio begins, in seconds; quick in format 1 alone"
    add("--start", type=number_in(Range(0)), default=0.0, metavar="S", help=start_help)
    add(
        "--end",
        type=number_in(Range(0)),
        metavar="S",
        help="where it ends, by default with the audio",
    )
    salvage_help = "decompress what is intact of a damaged file; the rest is silent"
    add("--salvage", action="store_true", help=salvage_help)
    add_rate_and_channels(parser)
    folder_help = "folder to write all outputs to; made if need be"
    add("-o", "--output-dir", type=_folder, metavar="DIR", help=folder_help)
    add_machine(parser)
    add_completion(parser)
    add("--version", action="version", version=f"encodec {__version__}")
    return parser


def add_coding(parser: argparse.ArgumentParser, format: int) -> None:
    """Add how to compress; `format` is the default."""
    add = parser.add_argument
    kbps_help = "1.5, 3, 6, 12 or 24 kbps, 6 by default; 1.5 is not supported with --hq"
    add(
        "-b",
        "--bandwidth",
        type=float,
        default=6.0,
        choices=ENCODEC_24KHZ.target_bandwidths,
        metavar="KBPS",
        help=kbps_help,
    )
    add("-q", "--hq", action="store_true", help="the stereo model at 48 kHz, not the mono one")
    add("-l", "--lm", action="store_true", help="smaller files by a language model (see --format)")
    effort_help = (
        "0 (default) to 3: search longer for codes; from 1 on also remove a constant offset and "
        "keep stereo in opposite phase; from 2 on, with --lm and --format 1, choose codes that "
        "cost few bits"
    )
    add("--effort", type=int, default=0, choices=range(4), metavar="N", help=effort_help)
    format_help = (
        "0, the reference's, or 1: damage is found, parts can be decoded, and --lm is "
        f"the same on all machines; {format} by default"
    )
    add("--format", type=int, default=format, choices=(0, 1), metavar="N", help=format_help)
    verify_help = "with --lm, decode what was coded again before it is written"
    add("--verify", action="store_true", help=verify_help)


def add_rescale(parser: argparse.ArgumentParser) -> None:
    """Add `--rescale`."""
    rescale_help = "make the output quieter rather than clip it"
    parser.add_argument("-r", "--rescale", action="store_true", help=rescale_help)


def add_rate_and_channels(parser: argparse.ArgumentParser) -> None:
    """Add those of decompressed audio."""
    add = parser.add_argument
    rate_help = (
        "of decompressed audio: 4000 to 768000, or original: the recording's (files of --format 1)"
    )
    add("--sample-rate", type=_number, metavar="HZ", help=rate_help)
    channels_help = "of decompressed audio: 1, 2 or original"
    add("--channels", type=_number, metavar="N", help=channels_help)


def add_machine(parser: argparse.ArgumentParser) -> None:
    """Add where the networks run, and their weights."""
    add = parser.add_argument
    add("--device", default="cpu", help="cpu (default), auto, cuda, cuda:1 and so on")
    weights_help = (
        "auto, bundled, official, hf, or a folder of weights (ENCODEC_WEIGHTS by default; ./hf for "
        "a folder called hf); "
        "an .ecdc file is decoded with the weights it names, wherever they are found"
    )
    add("--weights", metavar="SOURCE", help=weights_help)


def check_coding(parser: argparse.ArgumentParser, arguments: CodingArguments) -> None:
    """Exits with code 2 for a bandwidth that the model does not have."""
    try:
        config_of(arguments.model).codebooks_for(arguments.bandwidth)
    except UnsupportedBandwidthError as error:
        parser.error(str(error))


def check_rate_and_channels(parser: argparse.ArgumentParser, arguments: argparse.Namespace) -> None:
    """Exits with code 2 for those that audio cannot have."""
    if isinstance(arguments.sample_rate, int) and not 4000 <= arguments.sample_rate <= 768_000:
        parser.error("argument --sample-rate: not in 4000…768000")
    if isinstance(arguments.channels, int) and arguments.channels not in (1, 2):
        parser.error("argument --channels: neither 1 nor 2")


def parse(argv: Sequence[str] | None) -> Arguments:
    """`argv` (None: the process's own) as `Arguments`; wrong usage exits with code 2."""
    given = list(sys.argv[1:] if argv is None else argv)
    # argparse loses what stands behind -- when options and names may be mixed.
    end = given.index("--") if "--" in given else len(given)
    ours = parser()
    arguments = ours.parse_intermixed_args(given[:end], Arguments())
    arguments.play = arguments.paths[:1] == [PLAY] and not os.path.lexists(PLAY)
    arguments.paths += given[end + 1 :]
    if arguments.play:
        del arguments.paths[0]
        if arguments.output_dir is not None or arguments.info:
            ours.error("play makes no files: it goes neither with -o nor with --info")
    if "" in arguments.paths:
        ours.error(EMPTY_NAME)
    if not arguments.paths:
        ours.error(f"the following arguments are required: {'FILE' if arguments.play else 'INPUT'}")
    check_rate_and_channels(ours, arguments)
    check_coding(ours, arguments)
    if arguments.end is not None and arguments.end <= arguments.start:
        ours.error(f"--end {arguments.end:g} is not after --start {arguments.start:g}")
    return arguments


def _number(text: str) -> int | str:
    """A whole number, or the word `original`."""
    if text == "original":
        return text
    if not (text.isascii() and text.isdecimal() and len(text) < 20):
        raise argparse.ArgumentTypeError(f"{text[:80]!r} is neither a whole number nor original")
    return int(text)


def _folder(text: str) -> Path:
    if not text:
        raise argparse.ArgumentTypeError(EMPTY_NAME)
    return Path(text)


def _suffix(text: str) -> str:
    if "/" in text or "\0" in text:
        raise argparse.ArgumentTypeError("a suffix cannot hold a /")
    return text
