"""The command `encodec`: files to `.ecdc` and back.

`command` says what happens in which order. It uses `arguments` (the options), `plan` (which file
becomes which), `runner` (one file after another), `files` (input and output) and `process` (signals
and stderr). Only `runner` needs the networks, so `--help` and wrong usage answer at once.
"""

from .command import main

__all__ = ["main"]
