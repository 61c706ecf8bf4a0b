"""What is known of a request while it runs: its id, and what its log line and metrics say."""

import re
from dataclasses import dataclass, field
from uuid import uuid4

from starlette.datastructures import Headers
from starlette.requests import HTTPConnection
from starlette.types import Scope

from ..timings import Timings
from .problems import Problem

REQUEST_ID = "X-Request-ID"

_MOST_LOGGED = 200

_SANE_ID = re.compile(r"[A-Za-z0-9._:/+=@-]{1,128}", re.ASCII)


def shortened(text: str) -> str:
    """What a client has sent, as it is logged and echoed: not at any length."""
    return text if len(text) <= _MOST_LOGGED else f"{text[:_MOST_LOGGED]}... ({len(text)})"


def client_of(scope: Scope) -> str | None:
    """Its address; behind a proxy that uvicorn trusts (`FORWARDED_ALLOW_IPS`), the one it names."""
    client = scope.get("client")
    return shortened(client[0]) if client else None


@dataclass
class RequestStats:
    """What is known of a request while it runs. Calls fill in `model` and `audio_seconds`."""

    timings: Timings = field(default_factory=Timings)
    model: str | None = None
    """As headers name it."""
    audio_seconds: float | None = None
    """Of the audio received or sent."""
    seconds_to_encode: float | None = None
    """Of the audio received, as it says itself."""
    seconds_to_decode: float = 0.0
    """Of the audio that the answer is made of."""
    seconds_decoded: float = 0.0
    """Of them, those that are done."""
    problem: Problem | None = None
    """What it was refused with, or what ended it, whether or not an answer had begun."""
    bytes_in: int = 0
    bytes_out: int = 0
    status: int | None = None
    key: str | None = None
    """The name of the API key, where there are any."""
    complete: bool = False
    """Whether the whole answer was sent."""


def request_stats(request: HTTPConnection) -> RequestStats:
    """The statistics of a request, to be filled in by its call."""
    stats: RequestStats = request.scope.setdefault("state", {}).setdefault(
        "request_stats", RequestStats()
    )
    return stats


def request_id_of(scope: Scope) -> str:
    """The client's where that is short and plain, else a new one."""
    given = Headers(scope=scope).get(REQUEST_ID, "")
    return given if _SANE_ID.fullmatch(given) else uuid4().hex
