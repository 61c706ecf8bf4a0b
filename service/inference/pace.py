"""How fast the service works, as measured, and when a request's turn will come."""

import heapq
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager

_HALF_LIFE = 10.0  # s of work after which a measurement counts half
_ENOUGH = 1.0  # s of work from which on the measurement is believed


class Pace:
    """Audio that is worked off in a second, by all workers together, while there is work.

    Times without work do not count, nor does it matter how many workers there are or on which
    device they compute. Safe to use from any thread.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic):
        self._clock = clock
        self._lock = threading.Lock()
        self._running = 0
        self._since = 0.0
        self._seconds = 0.0  # of work, the older ones counting less
        self._audio = 0.0  # worked off in them

    @property
    def speed(self) -> float | None:
        """Audio-seconds a second; None before a second of work."""
        with self._lock:
            self._count()
            return self._audio / self._seconds if self._seconds >= _ENOUGH and self._audio else None

    @contextmanager
    def batch(self, audio: float) -> Iterator[None]:
        """A block that works off `audio` seconds."""
        with self._lock:
            self._count()
            self._running += 1
        try:
            yield
        finally:
            with self._lock:
                self._count()
                self._running -= 1
                self._audio += audio

    def _count(self) -> None:
        """The time until now."""
        now = self._clock()
        if self._running:
            seconds = now - self._since
            kept = 0.5 ** (seconds / _HALF_LIFE)
            self._seconds = self._seconds * kept + seconds
            self._audio *= kept
        self._since = now


def audio_before_turn(at_work: Iterable[float], before: Iterable[float], places: int) -> float:
    """Audio-seconds that are worked off before one of `places` is free, where `at_work` and then
    `before` are the costs of the requests that go first.

    All at work are worked on equally fast, as the fair queue does it: so the one that has the least
    left ends first, when that much has been done of each.
    """
    ends = list(at_work)
    heapq.heapify(ends)
    level = audio = 0.0
    for cost in [*before, None]:
        while len(ends) >= places:
            audio += (ends[0] - level) * len(ends)
            level = heapq.heappop(ends)
        if cost is not None:
            heapq.heappush(ends, level + cost)
    return audio
