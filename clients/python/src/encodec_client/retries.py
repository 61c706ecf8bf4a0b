"""When a call is tried again: every call may be, but for deleting a job."""

from dataclasses import dataclass

from .errors import ConnectionFailedError, EncodecClientError, ProblemError

_ASKED = {429, 503, 507}  # the service says in how many seconds
_AT_ONCE = {408}
_LATER = {504}
_FIRST_WAIT = 0.5  # s
_UNKNOWN_WAIT = 2.0  # s


@dataclass(frozen=True)
class Retries:
    """How often, and how long to wait at most."""

    times: int = 4
    """Tries after the first."""
    longest_wait: float = 60.0
    """Seconds; a service that asks for more is not tried again."""

    def wait(self, error: EncodecClientError, tried: int) -> float | None:
        """Seconds to wait after so many tries, or None to give up."""
        if tried > self.times:
            return None
        wait = _wait(error, tried)
        return wait if wait is not None and wait <= self.longest_wait else None


DEFAULT_RETRIES = Retries()


def _wait(error: EncodecClientError, tried: int) -> float | None:
    growing: float = _FIRST_WAIT * 2 ** (tried - 1)
    if isinstance(error, ConnectionFailedError):
        return 0.0 if tried == 1 else growing
    if not isinstance(error, ProblemError):
        return None
    if error.status in _ASKED:
        return _UNKNOWN_WAIT if error.retry_after is None else error.retry_after
    if error.status in _AT_ONCE:
        return 0.0
    return 4 * growing if error.status in _LATER else None
