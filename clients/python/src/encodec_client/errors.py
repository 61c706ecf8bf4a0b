"""What goes wrong: `EncodecClientError` is any of it."""

import json
from typing import Any

import httpx


class EncodecClientError(Exception):
    """The base of this package's errors."""


class ConnectionFailedError(EncodecClientError):
    """The service could not be reached, or the connection broke before the answer was whole."""


class NoJobsError(EncodecClientError):
    """A job was asked for, and the service keeps none: it has answered at once."""


class ProblemError(EncodecClientError):
    """An error that the service answered with (RFC 9457)."""

    def __init__(
        self,
        status: int,
        code: str,
        title: str,
        detail: str = "",
        errors: list[dict[str, Any]] | None = None,
        request_id: str | None = None,
        retry_after: float | None = None,
    ):
        super().__init__(f"{status} {code}: {title}" + (f" ({detail})" if detail else ""))
        self.status = status
        self.code = code
        """Stable, for programs: `busy`, `undecodable_audio`, …; `unknown` where the answer was not
        a problem document, such as a proxy's."""
        self.title = title
        self.detail = detail
        self.errors = errors or []
        """Of 422, what is wrong with each parameter: `name`, `location`, `message`."""
        self.request_id = request_id
        """What the service's log calls the request."""
        self.retry_after = retry_after
        """Seconds after which the service asks to be tried again."""


def problem_of(answer: httpx.Response) -> ProblemError:
    """The problem of an answer whose body has been read."""
    try:
        found = json.loads(answer.content)
    except ValueError:
        found = None
    document: dict[str, Any] = found if isinstance(found, dict) else {}
    return ProblemError(
        answer.status_code,
        str(document.get("code", "unknown")),
        str(document.get("title", answer.reason_phrase)),
        str(document.get("detail", "")),
        document.get("errors"),
        answer.headers.get("x-request-id"),
        _seconds(answer.headers.get("retry-after")),
    )


def _seconds(value: str | None) -> float | None:
    return float(value) if value is not None and value.isdecimal() else None
