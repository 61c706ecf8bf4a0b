"""`main`: what happens in which order, and with which exit code."""

import sys
from collections.abc import Sequence

from ..errors import EncodecError
from .arguments import Arguments, parse, parser
from .ending import ended_by_signals
from .errors import OutputExistsError, UsageError
from .plan import STDIO, Targets, plan
from .quiet import quiet

DONE, FAILED, INTERRUPTED = 0, 1, 130

# RuntimeError is what torch raises when a device runs out of memory or breaks.
_FAILURES = (EncodecError, OSError, RuntimeError, MemoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command `encodec` with `argv` (None: the process's own); returns the exit code.

    0 done, 1 failed, 130 interrupted. Wrong usage, `--help` and `--version` raise `SystemExit`
    as argparse does.
    """
    arguments = parse(argv)
    try:
        with quiet(), ended_by_signals():
            return _run(arguments)
    except UsageError as error:
        parser().error(str(error))
    except _FAILURES as error:
        _say(_reason(error))
        return FAILED
    except KeyboardInterrupt:
        _say("interrupted")
        return INTERRUPTED


def _run(arguments: Arguments) -> int:
    jobs = plan(arguments)
    from .runner import Runner  # slow to import: FFmpeg and numpy

    runner = Runner(arguments, Targets(arguments, [job.source for job in jobs]))
    code = DONE
    for job in jobs:
        name = "stdin" if job.source == STDIO else job.source
        try:
            runner.run(job)
        except _FAILURES as error:
            skipped = job.folder is not None and isinstance(error, OutputExistsError)
            _say(f"{name}: {'skipped: ' if skipped else ''}{_reason(error)}")
            code = code if skipped else FAILED
    return code


def _reason(error: BaseException) -> str:
    if isinstance(error, OSError) and error.strerror and not isinstance(error, EncodecError):
        named = f"{error.filename}: " if error.filename else ""
        return f"{named}{error.strerror}"
    text = str(error).strip() or type(error).__name__
    if isinstance(error, EncodecError):
        return text
    return text.splitlines()[0]


def _say(text: str) -> None:
    """One line on stderr."""
    if sys.stderr is not None:
        sys.stderr.write(f"encodec: {' '.join(text.splitlines())}\n")
