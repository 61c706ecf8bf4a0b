"""The command `encodec`: files to `.ecdc` and back.

`command` says what happens in which order. It uses `arguments` (the options), `plan` (which file
becomes which), `runner` (one file after another), `speaker` (the sound device), `progress` (the
bar), `files` (input and output) and `process` (signals and stderr). Only `runner` needs the
networks, so `--help` and wrong usage answer at once.
"""

from collections.abc import Sequence

__all__ = ["main"]


def main(argv: Sequence[str] | None = None) -> int:
    """`command.main`; where Ctrl-C comes while that is imported, 130 too."""
    try:
        from .command import main as run
    except KeyboardInterrupt:
        return 130
    return run(argv)
