"""`main`: what happens in which order, and with which exit code."""

from collections.abc import Sequence

from ..errors import EncodecError
from ..process import ended_by_signals, quiet, say
from .arguments import Arguments, parse, parser
from .files import open_stdout
from .plan import STDIO, OutputExistsError, Targets, UsageError, compressed_inputs, plan

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
        say(reason(error))
        return FAILED
    except KeyboardInterrupt:
        say("interrupted")
        return INTERRUPTED


def _run(arguments: Arguments) -> int:
    if arguments.info:
        return _info(arguments)
    if arguments.play:
        return _play(arguments)
    conversions = plan(arguments)
    from .progress import Progress
    from .runner import Runner  # slow to import: FFmpeg and numpy

    sources = [conversion.source for conversion in conversions]
    progress = Progress(sources)
    targets = Targets(arguments, sources)
    runner = Runner(arguments, targets, progress)
    code = DONE
    for conversion in conversions:
        name = _name(conversion.source)
        try:
            runner.run(conversion)
        except _FAILURES as error:
            if conversion.folder is not None and isinstance(error, OutputExistsError):
                say(f"{name}: skipped: {reason(error)}")
            else:
                if not isinstance(error, OutputExistsError):
                    targets.failed(conversion)
                say(f"{name}: {reason(error)}")
                code = FAILED
        progress.next()
    return code


def _play(arguments: Arguments) -> int:
    sources = compressed_inputs(arguments.paths)
    from .progress import Progress
    from .runner import Runner
    from .speaker import require_device

    require_device()
    code = DONE
    runner = Runner(arguments, Targets(arguments, sources), Progress([]))
    for source in sources:
        try:
            runner.play(source)
        except _FAILURES as error:
            say(f"{_name(source)}: {reason(error)}")
            code = FAILED
    return code


def _info(arguments: Arguments) -> int:
    sources = compressed_inputs(arguments.paths)
    from .info import show  # slow to import: numpy

    code = DONE
    with open_stdout(text=True) as out:
        for source in sources:
            try:
                intact = show(source, out)
            except BrokenPipeError:
                raise  # for `open_stdout`
            except _FAILURES as error:
                say(f"{_name(source)}: {reason(error)}")
                intact = False
            if not intact:
                code = FAILED
    return code


def _name(source: str) -> str:
    return "stdin" if source == STDIO else source


def reason(error: BaseException) -> str:
    """Why something failed, in a line."""
    text = str(error).strip() or type(error).__name__
    if isinstance(error, EncodecError):
        return text
    if isinstance(error, OSError) and error.strerror:
        return f"{error.filename}: {error.strerror}" if error.filename else error.strerror
    return text.splitlines()[0]
