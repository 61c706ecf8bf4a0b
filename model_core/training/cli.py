"""`encodec-train`: prepare recordings, train a codec, train its language model, export both."""

import argparse
import sys
from collections.abc import Sequence

import torch

from .. import __version__
from ..completion import add_completion
from ..errors import EMPTY_NAME, EncodecError
from ..process import ended_by_signals
from . import export
from .carry import command as carry
from .codec import command as codec_command
from .data import build
from .data.synth import command as synth
from .lm import command as lm_command

COMMANDS = {
    "prepare": (build, "decode a folder of recordings once into a cache"),
    "synth": (synth, "make speech and music with espeak-ng and fluidsynth"),
    "codec": (codec_command, "train a codec; continues an existing run"),
    "lm": (lm_command, "train the language model of a codec's codes"),
    "carry": (carry, "pack a run's state into a few small files, to continue elsewhere"),
    "export": (export, "write a run's weights for the service, the reference or transformers"),
}


def parser() -> argparse.ArgumentParser:
    """The command line's grammar."""
    top = argparse.ArgumentParser(prog="encodec-train", description=__doc__)
    top.add_argument("--version", action="version", version=__version__)
    add_completion(top)
    commands = top.add_subparsers(dest="command", required=True, metavar="COMMAND")
    for name, (part, summary) in COMMANDS.items():
        command = commands.add_parser(name, help=summary, description=part.__doc__)
        command.set_defaults(parser=command)
        part.add_arguments(command)
    return top


def main(argv: Sequence[str] | None = None) -> int:
    """The console script; returns its exit status."""
    given = sys.argv[1:] if argv is None else argv
    arguments, unknown = parser().parse_known_args(given)
    if "" in given:
        arguments.parser.error(EMPTY_NAME)
    if unknown:  # argparse itself would show the usage of all commands
        arguments.parser.error(f"unrecognized arguments: {' '.join(unknown)}")
    part, _ = COMMANDS[arguments.command]
    try:
        with ended_by_signals():
            part.run(arguments)
    except (EncodecError, OSError, MemoryError, torch.OutOfMemoryError) as error:
        sys.stderr.write(f"encodec-train: {str(error) or 'there is not enough memory'}\n")
        return 1
    except KeyboardInterrupt:
        after = "; start again to go on" if arguments.command in ("codec", "lm") else ""
        sys.stderr.write(f"encodec-train: interrupted{after}\n")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
