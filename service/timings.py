"""How long the phases of a request take: for its `Server-Timing` header and its trace."""

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from .telemetry import RequestTrace

Phase = Literal["receive", "permit", "decode", "queue", "batch", "write"]
"""`receive`: the client's bytes; `permit`: the wait for a permit; `decode`: FFmpeg, in its child;
`queue`: blocks that wait for a worker; `batch`: blocks that a worker computes; `write`: the bytes
of the answer. They overlap: a file is decoded and computed while it is received."""

SERVER_TIMING = "Server-Timing"
"""The header that carries them."""

MOST_BATCHES = 64
"""Of a request that its trace shows; ten hours of audio have thousands."""

Attributes = Mapping[str, str | int | float]


@dataclass(eq=False)
class Timings:
    """The phases of one request. Safe to use from any thread."""

    started: float = field(default_factory=time.monotonic)
    trace: "RequestTrace | None" = None
    """Where it is traced."""
    batches: int = 0
    """Those that had works of this request."""
    _seconds: dict[Phase, float] = field(default_factory=dict)
    _until: dict[Phase, float] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(
        self,
        phase: Phase,
        begun: float,
        ended: float,
        waited: float | None = None,
        attributes: Attributes | None = None,
    ) -> None:
        """A phase lasted from `begun` to `ended` (`time.monotonic`); the request could do nothing
        else for `waited` seconds of that, or all of it."""
        with self._lock:
            self._count(phase, begun, ended, waited)
        if self.trace is not None:
            attributes = attributes or {}
            if waited is not None:
                attributes = {**attributes, "encodec.waited_seconds": round(waited, 6)}
            self.trace.phase(phase, begun, ended, attributes)

    def add_batch(self, waiting_since: float, begun: float, ended: float) -> bool:
        """A batch had works of this request; whether its trace is to show that."""
        with self._lock:
            self._count("queue", waiting_since, begun)
            self._count("batch", begun, ended)
            self.batches += 1
            return self.trace is not None and self.batches <= MOST_BATCHES

    def _count(self, phase: Phase, begun: float, ended: float, waited: float | None = None) -> None:
        # What overlaps counts once: a request may have many blocks in the queue.
        alone = max(0.0, ended - max(begun, self._until.get(phase, 0.0)))
        self._until[phase] = max(ended, self._until.get(phase, 0.0))
        known = self._seconds.get(phase, 0.0)
        self._seconds[phase] = known + (alone if waited is None else waited)

    def header(self) -> str:
        """What is known by now, in milliseconds (W3C Server Timing)."""
        with self._lock:
            known = [(str(phase), seconds) for phase, seconds in self._seconds.items()]
        known.append(("total", time.monotonic() - self.started))
        return ", ".join(f"{name};dur={seconds * 1000:.1f}" for name, seconds in known)


def note_batch(
    members: Sequence[tuple[Timings | None, float]],
    begun: float,
    ended: float,
    attributes: Attributes,
) -> None:
    """A batch has ended that had works of these requests (None for what is no request's), with the
    times since when they had waited."""
    since: dict[Timings, float] = {}
    for timings, waiting_since in members:
        if timings is not None:
            since[timings] = min(waiting_since, since.get(timings, waiting_since))
    traced: dict[RequestTrace, float] = {}
    for timings, waiting_since in since.items():
        shown = timings.add_batch(waiting_since, begun, ended)
        if shown and timings.trace is not None:
            traced[timings.trace] = waiting_since
    if traced:
        next(iter(traced)).batch(traced, begun, ended, attributes)
