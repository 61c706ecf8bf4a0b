"""One thread at a time launches work on the device, and batches go before loading.

While a graph is captured, no other thread may use the device: torch allows one capture per
process, and other work would be captured too or break it. Loading and capturing a model takes
seconds, so it is cut into pieces of milliseconds that fit between batches.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager


class Handover:
    """A lock that batches take before pieces of loading. One thread must not take it twice."""

    def __init__(self, patience: float = 1.0):
        """`patience`: seconds that a piece of loading gives way to batches; then it takes its
        turn."""
        self._patience = patience
        self._changed = threading.Condition()
        self._taken = False
        self.waiting = 0  # batches
        self._impatient = 0  # pieces of loading that have waited long enough

    @contextmanager
    def of_a_batch(self) -> Iterator[None]:
        """Hold it while a batch is launched, not while it is computed."""
        with self._changed:
            self.waiting += 1
            self._changed.wait_for(lambda: not (self._taken or self._impatient))
            self.waiting -= 1
            self._taken = True
        yield from self._held()

    @contextmanager
    def in_a_gap(self) -> Iterator[None]:
        """Hold it for a piece of loading: when no batch waits, or after giving way long enough."""
        with self._changed:
            idle = self._changed.wait_for(lambda: not (self._taken or self.waiting), self._patience)
            if not idle:
                self._impatient += 1
                self._changed.wait_for(lambda: not self._taken)
                self._impatient -= 1
            self._taken = True
        yield from self._held()

    def _held(self) -> Iterator[None]:
        try:
            yield
        finally:
            with self._changed:
                self._taken = False
                self._changed.notify_all()


handover = Handover()
"""One for all devices of the process."""
