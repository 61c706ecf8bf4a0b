"""What is known of a request while it runs, for its log line and the metrics."""

import time
from dataclasses import dataclass, field

from starlette.requests import HTTPConnection
from starlette.types import Scope


@dataclass
class Facts:
    """Calls fill in `model` and `audio_seconds`; the middleware fills in the rest."""

    started: float = field(default_factory=time.monotonic)
    request_id: str = ""
    model: str | None = None
    """As headers name it."""
    audio_seconds: float | None = None
    """Of the audio that came or went."""
    bytes_in: int = 0
    bytes_out: int = 0
    status: int | None = None
    complete: bool = False
    """Whether the whole answer was sent."""


def facts_in(scope: Scope) -> Facts:
    """The facts of the request in this scope."""
    state = scope.setdefault("state", {})
    facts = state.setdefault("facts", Facts())
    if not isinstance(facts, Facts):
        raise TypeError("the request's state holds other facts")
    return facts


def facts_of(request: HTTPConnection) -> Facts:
    """The facts of a request, to be filled in by its call."""
    return facts_in(request.scope)
