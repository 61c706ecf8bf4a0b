"""Places of open requests, and which of their clients are overdue."""

import asyncio
import math
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol

from .tenants import Tenant


class Client(Protocol):
    """The client of a request, as it reads its answer."""

    def answer_due(self) -> float:
        """When it must have read more (`loop.time`); infinity while it is not waited for."""

    def evict(self) -> None:
        """Closes its connection at once."""


class Place:
    """A request's place among those that are open."""

    def __init__(
        self, live: bool = False, client: Client | None = None, tenant: Tenant | None = None
    ):
        self.tenant = tenant
        self.live = live
        self.lost = False
        """Another request has it: this one must end."""
        self._client = client
        self._body_due = math.inf
        self._wait: asyncio.Timeout | None = None

    @contextmanager
    def waiting(self, due: float, wait: asyncio.Timeout) -> Iterator[None]:
        """A block in `wait` that waits for bytes of the body; the client is overdue from `due` on
        (`loop.time`). Where the place is lost, `wait` ends."""
        self._body_due, self._wait = due, wait
        try:
            yield
        finally:
            self._body_due, self._wait = math.inf, None

    def due(self) -> float:
        """When its client must have sent or read more (`loop.time`)."""
        return min(self._body_due, math.inf if self._client is None else self._client.answer_due())

    def evict(self) -> None:
        """Ends the wait for its client."""
        self.lost = True
        if self._wait is not None:
            if not self._wait.expired():
                self._wait.reschedule(0)
        elif self._client is not None:
            self._client.evict()
