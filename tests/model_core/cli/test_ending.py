"""Signals end a run even where what they raise gets lost on the way."""

import contextlib
import os
import signal

import pytest

from model_core.cli.ending import ended_by_signals, raise_if_ended


@pytest.mark.parametrize(
    ("number", "raised"),
    [(signal.SIGINT, KeyboardInterrupt), (signal.SIGTERM, SystemExit), (signal.SIGHUP, SystemExit)],
)
def test_a_lost_signal_is_raised_again(number: signal.Signals, raised: type[BaseException]) -> None:
    """Also where the tests themselves were started with it ignored, as by nohup."""
    usual = signal.default_int_handler if number == signal.SIGINT else signal.SIG_DFL
    before = signal.signal(number, usual)
    try:
        with ended_by_signals():
            raise_if_ended()
            with contextlib.suppress(raised):  # as a library does that was calling back
                os.kill(os.getpid(), number)
            with pytest.raises(raised):
                raise_if_ended()
        assert signal.getsignal(number) == usual
    finally:
        signal.signal(number, before)


def test_an_ignored_signal_stays_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with ended_by_signals():
            os.kill(os.getpid(), signal.SIGHUP)
            raise_if_ended()
    finally:
        signal.signal(signal.SIGHUP, before)
