"""The command `encodec`: files to `.ecdc` and back.

Reads top to bottom: `command` (what happens in which order, exit codes) uses `arguments` (the
options), `plan` (which file becomes which), and `runner` (one file after another) with `sources`
and `outputs` (files and pipes), `codecs` and `progress`. Only `runner` and what it alone uses
need the networks, so that `--help` and wrong usage answer at once.
"""

from .command import main

__all__ = ["main"]
