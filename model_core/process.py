"""The process of the command: signals end it in good order, and stderr is for its own lines."""

import logging
import os
import signal
import sys
import threading
import warnings
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from types import FrameType
from typing import TextIO

_PACKAGE = __package__.partition(".")[0]
_LEVELS = {"TORCH_CPP_LOG_LEVEL": "ERROR", "HF_HUB_VERBOSITY": "error"}
"""What other packages read when they are imported; a value that is set already stays."""
_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


def say(text: str, command: str = "encodec") -> None:
    """One line on stderr, which begins with the name of the command."""
    if sys.stderr is not None:
        with suppress(OSError):  # nobody listens: the work goes on
            sys.stderr.write(f"{command}: {printable(' '.join(text.splitlines()))}\n")


def printable(text: str) -> str:
    """`text` with control characters escaped: names and tags must not steer the terminal."""
    return "".join(c if c.isprintable() else ascii(c)[1:-1] for c in text)


def coloured(stream: TextIO | None) -> bool:
    """Whether `stream` shows colours: a terminal does, unless `NO_COLOR` is set (no-color.org)."""
    wanted = not os.environ.get("NO_COLOR") and os.environ.get("TERM") != "dumb"
    return wanted and stream is not None and stream.isatty()


@contextmanager
def quiet() -> Iterator[None]:
    """Inside, Python's warnings and the logs of other packages are not shown.

    Warnings that this package logs are: one line each, in the form of `say`.
    """
    logger, root = logging.getLogger(_PACKAGE), logging.getLogger()
    ours, theirs = logging.StreamHandler(sys.stderr), logging.NullHandler()
    ours.setLevel(logging.WARNING)
    ours.setFormatter(logging.Formatter("encodec: %(message)s"))
    unset = {name: level for name, level in _LEVELS.items() if name not in os.environ}
    os.environ.update(unset)
    logger.addHandler(ours)
    root.addHandler(theirs)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        root.removeHandler(theirs)
        logger.removeHandler(ours)
        for name in unset:
            os.environ.pop(name, None)


class _Ending:
    """A signal handler that raises, unless it is held, and remembers which signal came."""

    def __init__(self) -> None:
        self.number: int | None = None
        self.held = False

    def __call__(self, number: int, _frame: FrameType | None) -> None:
        self.number = number
        if not self.held:
            self.raise_if_ended()

    def raise_if_ended(self) -> None:
        if self.number == signal.SIGINT:
            raise KeyboardInterrupt
        if self.number is not None:
            raise SystemExit(128 + self.number)


_ending = _Ending()


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside, SIGINT, SIGTERM and SIGHUP raise `KeyboardInterrupt` or `SystemExit`, so that nothing
    half-written stays, unless they are ignored or handled by somebody else.

    Only the main thread receives signals.
    """
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    _ending.number = None
    before = {number: signal.getsignal(number) for number in _SIGNALS}
    defaults = (signal.SIG_DFL, signal.default_int_handler)
    ours = [number for number in _SIGNALS if before[number] in defaults]
    for number in ours:
        signal.signal(number, _ending)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, before[number])


@contextmanager
def signals_held() -> Iterator[None]:
    """Inside, those signals wait until the end. For libraries that call back (PyAV reads a file so)
    and print what a signal raises there, and drop it."""
    _ending.held = True
    try:
        yield
    finally:
        _ending.held = False
    raise_if_ended()


def raise_if_ended() -> None:
    """Raise again where a signal came and its exception was lost on the way."""
    _ending.raise_if_ended()
