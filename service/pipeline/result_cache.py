"""Recent results in memory, by what they were made of."""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

from ..http.problems import Problem, ProblemCode

_LARGEST = 0.25  # of the cache that one result may take
_OVERHEAD = 1024  # bytes of memory for a result and for a name of one, beside what they hold

Question = tuple[object, ...]
"""All that a result depends on but the body, and who asks: a few hundred bytes."""
Name = tuple[str, str]
"""An `Idempotency-Key`, and who uses it."""


@dataclass(eq=False)
class Result:
    """An answer that is kept."""

    question: Question
    digest: bytes
    """SHA-256 of the body that it was made of."""
    data: bytes
    headers: dict[str, str]
    since: float
    """When it was made (`time.monotonic`)."""
    names: list[Name] = field(default_factory=list)
    readers: int = 0
    """Requests that are answered with it; its memory is in use until they end."""

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        held = [*self.headers, *self.headers.values(), *(name for name, *_ in self.names)]
        return len(self.data) + sum(map(len, held)) + _OVERHEAD * (1 + len(self.names))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A block in which it is not dropped."""
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1


class ResultCache:
    """Results of at most `max_bytes` together, each for at most `seconds`; the oldest go first."""

    def __init__(self, max_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._clock = clock
        self._results: dict[tuple[Question, bytes], Result] = {}  # the oldest first
        self._names: dict[Name, Result] = {}
        self._in_use: set[Name] = set()
        self.bytes = 0

    def find(self, question: Question, digest: bytes) -> Result | None:
        """What was made of this very request."""
        self._drop_old()
        return self._young(self._results.get((question, digest)))

    def named(self, name: Name) -> Result | None:
        """What was made of the request that had this name."""
        self._drop_old()
        return self._young(self._names.get(name))

    @contextmanager
    def using(self, name: Name) -> Iterator[None]:
        """A block that works on the request of this name. Raises `Problem` 409 where another one
        does."""
        if name in self._in_use:
            detail = "a request with this Idempotency-Key is being worked on"
            raise Problem(ProblemCode.IDEMPOTENCY_IN_USE, detail, retry_after=1)
        self._in_use.add(name)
        try:
            yield
        finally:
            self._in_use.discard(name)

    def make_room(self, size: int) -> bool:
        """Drop the oldest until one of `size` bytes can be kept; False where that is too large, or
        too much is in use."""
        if size > self._max_bytes * _LARGEST:
            return False
        while self.bytes + size > self._max_bytes:
            oldest = next((one for one in self._results.values() if not one.readers), None)
            if oldest is None:
                return False
            self._drop(oldest)
        return True

    def keep(
        self, question: Question, digest: bytes, data: bytes, headers: dict[str, str]
    ) -> Result | None:
        """Keep a result, where there is room."""
        self._drop_old()
        if (there := self._results.get((question, digest))) is not None:
            return self._young(there)  # an old one that is still in use goes first
        result = Result(question, digest, data, headers, self._clock())
        if not self.make_room(result.size):
            return None
        self._results[question, digest] = result
        self.bytes += result.size
        return result

    def add_name(self, result: Result, name: Name) -> None:
        """Have it found by `name` too, where there is room."""
        if name in self._names:
            return
        with result.reading():
            if not self.make_room(_OVERHEAD + len(name[0])):
                return
        self.bytes -= result.size
        result.names.append(name)
        self.bytes += result.size
        self._names[name] = result

    def _young(self, result: Result | None) -> Result | None:
        return result if result is not None and not self._is_old(result) else None

    def _is_old(self, result: Result) -> bool:
        return self._clock() - result.since > self._seconds

    def _drop_old(self) -> None:
        old = []
        for result in self._results.values():
            if not self._is_old(result):
                break
            if not result.readers:
                old.append(result)
        for result in old:
            self._drop(result)

    def _drop(self, result: Result) -> None:
        self.bytes -= result.size
        del self._results[result.question, result.digest]
        for name in result.names:
            del self._names[name]
