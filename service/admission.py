"""Permits: how many requests are worked on, how many may wait, and for how long."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .problems import Problem, ProblemCode


class Admission:
    """Hands out `max_requests` permits, first come, first served."""

    def __init__(self, max_requests: int, max_waiting: int, timeout: float):
        """`timeout`: the longest wait for a permit, in seconds."""
        self._permits = asyncio.Semaphore(max_requests)
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._closed = False
        self.waiting = 0
        self.active = 0

    def close(self) -> None:
        """Hand out no more permits."""
        self._closed = True

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Held for a request's whole life. Raises `Problem` 429 when too many wait already, 504
        after too long a wait and 503 once closed."""
        await self._acquire()
        self.active += 1
        try:
            yield
        finally:
            self.active -= 1
            self._permits.release()

    async def _acquire(self) -> None:
        if self._closed:
            raise Problem(ProblemCode.SHUTTING_DOWN)
        if self._permits.locked() and self.waiting >= self._max_waiting:
            raise Problem(
                ProblemCode.BUSY,
                f"{self.active} requests are worked on and {self.waiting} wait",
                retry_after=max(1, math.ceil(self._timeout / 4)),
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                await self._permits.acquire()
        except TimeoutError:
            detail = f"no permit within {self._timeout:g} s"
            raise Problem(ProblemCode.WAITED_TOO_LONG, detail) from None
        finally:
            self.waiting -= 1
