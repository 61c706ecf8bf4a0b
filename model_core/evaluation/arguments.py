"""The options of `encodec-eval`."""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from ..completion import add_completion
from ..errors import EMPTY_NAME
from ..flags import Range, number_in, positive
from .clips import SPEECH
from .conditions import CONDITIONS
from .listening import CLIPS
from .plot import SUFFIXES

_DESCRIPTION = """\
Measures the quality of decoded audio at each bandwidth, beside Opus, MP3 and LC3 at the same
rate on the same recordings; rates are those of the files written.
"""
_EPILOG = """\
FOLDER may hold a manifest.csv with the columns file and category, or folders called speech,
music and environment. PESQ and STOI are measured for the kind "speech" only.
"""


@dataclass(frozen=True)
class Arguments:
    """The parsed command line; rates in kbps, lengths in seconds."""

    folder: Path | None
    cache: Path | None
    model: str
    weights: str | None
    against: tuple[str, ...]
    bandwidths: tuple[float, ...] | None
    peer_rates: tuple[float, ...] | None
    peers: bool
    lm: bool
    visqol: bool
    condition: str | None
    category: str
    clip_seconds: float
    seconds: float | None
    jobs: int
    device: str
    intervals: bool
    json: Path | None
    csv: Path | None
    plot: Path | None
    listen: Path | None
    listen_clips: int


def parser() -> argparse.ArgumentParser:
    """The parser of the command line."""
    parser = argparse.ArgumentParser(
        "encodec-eval",
        description=_DESCRIPTION,
        epilog=_EPILOG,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("folder", nargs="?", type=Path, metavar="FOLDER", help="recordings to evaluate on")
    add("--cache", type=Path, help="instead of FOLDER, the held-out part of a training cache")
    add("--model", default="encodec_24khz", help="encodec_24khz (default) or encodec_48khz")
    add(
        "--weights",
        metavar="SOURCE",
        help="auto, bundled, official, hf, or a folder of weights (ENCODEC_WEIGHTS by default)",
    )
    add("--against", nargs="+", default=[], metavar="SOURCE", help="more weights to compare")
    add(
        "--bandwidths",
        nargs="*",
        type=number_in(Range(0.01)),
        metavar="KBPS",
        help="default: all of the model's; with no number only the other codecs",
    )
    add(
        "--peer-rates",
        nargs="+",
        type=number_in(Range(0.01)),
        metavar="KBPS",
        help="rates for the other codecs (default: the bandwidths)",
    )
    add("--no-peers", dest="peers", action="store_false", help="leave the other codecs out")
    add("--no-lm", dest="lm", action="store_false", help="leave the language model out (faster)")
    add("--no-visqol", dest="visqol", action="store_false", help="leave ViSQOL out (faster)")
    add(
        "--condition",
        choices=tuple(CONDITIONS),
        help="change the recordings first: " + _conditions(),
    )
    add("--category", default=SPEECH, help=f"kind of files for which none is known ({SPEECH})")
    add(
        "--clip-seconds",
        type=number_in(Range(0.01)),
        default=10.0,
        help="seconds of each recording that are used, at most (10)",
    )
    add(
        "--seconds",
        type=number_in(Range(0.01)),
        help="seconds of each kind of recording that are used, at most (all)",
    )
    add("--jobs", type=positive, default=1, help="processes, one thread each (1)")
    add("--device", default="cpu", help="cpu (default) or cuda")
    add("--intervals", action="store_true", help="also print 95 %% intervals over clips")
    add("--json", type=Path, metavar="FILE", help="the table and more as JSON")
    add("--csv", type=Path, metavar="FILE", help="every clip as CSV")
    add("--plot", type=_picture, metavar="FILE", help=f"rate against quality, {_either()}")
    add("--listen", type=Path, metavar="FOLDER", help="a page for listening tests, to be written")
    add(
        "--listen-clips",
        type=positive,
        default=CLIPS,
        metavar="NUMBER",
        help=f"clips on that page, as many of each kind ({CLIPS})",
    )
    add_completion(parser)
    return parser


def parse(argv: Sequence[str] | None) -> Arguments:
    """`argv` (None: the process's own) as `Arguments`; wrong usage exits with code 2."""
    options = parser()
    given = sys.argv[1:] if argv is None else argv
    values = vars(options.parse_args(given))
    if "" in given:
        options.error(EMPTY_NAME)
    if (values["folder"] is None) == (values["cache"] is None):
        options.error("give a FOLDER (before --against and --bandwidths) or --cache CACHE")
    for name in ("against", "bandwidths", "peer_rates"):
        if values[name] is not None:
            values[name] = tuple(dict.fromkeys(values[name]))
    arguments = Arguments(**values)
    if arguments.bandwidths == () and not arguments.peer_rates:
        options.error("without bandwidths, give --peer-rates")
    return arguments


def _conditions() -> str:
    return "; ".join(f"{name}: {what}" for name, (what, _) in CONDITIONS.items())


def _either() -> str:
    return ", ".join(SUFFIXES)


def _picture(text: str) -> Path:
    path = Path(text)
    if path.suffix not in SUFFIXES:
        raise argparse.ArgumentTypeError(f"a plot is {_either()}, not {path.suffix or text}")
    return path
