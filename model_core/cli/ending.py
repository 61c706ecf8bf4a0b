"""SIGINT, SIGTERM and SIGHUP end the run like any error, so that nothing half-written stays."""

import signal
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any, NoReturn

_Handler = Callable[[int, FrameType | None], Any] | signal.Handlers

_DEFAULTS: dict[signal.Signals, _Handler] = {
    signal.SIGINT: signal.default_int_handler,
    signal.SIGTERM: signal.SIG_DFL,
    signal.SIGHUP: signal.SIG_DFL,
}


class _Ending:
    """A signal handler that raises, and remembers that it did: a library that called back may
    have dropped the exception."""

    def __init__(self) -> None:
        self.number: int | None = None

    def __call__(self, number: int, _frame: FrameType | None) -> NoReturn:
        self.number = number
        self.end(number)

    @staticmethod
    def end(number: int) -> NoReturn:
        if number == signal.SIGINT:
            raise KeyboardInterrupt
        raise SystemExit(128 + number)


@contextmanager
def ended_by_signals() -> Iterator[None]:
    """Inside, those signals raise `KeyboardInterrupt` or `SystemExit`, unless they are ignored or
    handled by somebody else. Only the main thread receives signals."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return
    ending = _Ending()
    ours = [number for number, default in _DEFAULTS.items() if signal.getsignal(number) == default]
    for number in ours:
        signal.signal(number, ending)
    try:
        yield
    finally:
        for number in ours:
            signal.signal(number, _DEFAULTS[number])


def raise_if_ended() -> None:
    """Raise again where a signal came and its exception was lost on the way."""
    for number in _DEFAULTS:
        handler = signal.getsignal(number)
        if isinstance(handler, _Ending) and handler.number is not None:
            handler.end(handler.number)
