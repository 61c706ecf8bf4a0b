"""`--print-completion SHELL` of every console script: its completion for bash, zsh and others."""

import argparse
import sys
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

SHELLS = ("bash", "zsh", "fish", "tcsh", "powershell")
"""What the library `shtab` writes for."""

_FOLDERS = ("DIR", "FOLDER")
"""How arguments that are folders are called in the help."""


def add_completion(parser: argparse.ArgumentParser) -> None:
    """Add the option, which prints the completion of all of `parser` and exits.

    Arguments of the type `Path` complete names of files, those called DIR or FOLDER names of
    folders, and others what `completes` says.
    """
    text = "print the completion of this command for bash, zsh, fish, tcsh or powershell"
    parser.add_argument(
        "--print-completion",
        action=_Print,
        choices=SHELLS,
        default=argparse.SUPPRESS,
        metavar="SHELL",
        help=text,
    )


def completes(argument: argparse.Action, suffixes: Iterable[str]) -> None:
    """Have `argument` complete files whose names end so, in small or in capital letters."""
    both = sorted({case for suffix in suffixes for case in (suffix.lower(), suffix.upper())})
    argument.patterns = [f"*{suffix}" for suffix in both]  # type: ignore[attr-defined]


class _Print(argparse.Action):
    def __call__(
        self,
        parser: argparse.ArgumentParser,
        namespace: argparse.Namespace,
        values: str | Sequence[Any] | None,
        option_string: str | None = None,
    ) -> None:
        import shtab  # not for every start of the command

        for argument in _arguments(parser):
            if argument.nargs == argparse.SUPPRESS:  # so while `parse_intermixed_args` sees options
                argument.nargs = "*"
            if patterns := getattr(argument, "patterns", None):
                argument.complete = shtab.glob(*patterns)  # type: ignore[attr-defined]
            elif argument.metavar in _FOLDERS:
                argument.complete = shtab.DIRECTORY  # type: ignore[attr-defined]
            elif argument.type is Path:
                argument.complete = shtab.FILE  # type: ignore[attr-defined]
        sys.stdout.write(shtab.complete(parser, str(values)).rstrip() + "\n")
        parser.exit()


def _arguments(parser: argparse.ArgumentParser) -> Iterator[argparse.Action]:
    """Those of its commands too."""
    for argument in parser._actions:
        yield argument
        if isinstance(argument, argparse._SubParsersAction):
            for command in argument.choices.values():
                yield from _arguments(command)
