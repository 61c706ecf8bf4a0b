"""Permits: how many requests are worked on, how many may wait, and for how long."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from .problems import Problem, ProblemCode


class Admission:
    """Hands out `max_requests` permits, first come, first served."""

    def __init__(self, max_requests: int, max_waiting: int, timeout: float):
        """`timeout`: the longest wait for a permit, in seconds."""
        self._max_requests = max_requests
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._line: deque[asyncio.Future[None]] = deque()
        self.active = 0
        self.closed = False

    @property
    def waiting(self) -> int:
        """Requests that wait for a permit."""
        return len(self._line)

    def close(self) -> None:
        """Hand out no more permits; those who wait for one are refused."""
        self.closed = True
        while self._line:
            waiter = self._line.popleft()
            if not waiter.done():
                waiter.set_exception(Problem(ProblemCode.SHUTTING_DOWN))

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Held for a request's whole life. Raises `Problem` 429 when too many wait already, 504
        after too long a wait and 503 once closed."""
        await self._acquire()
        try:
            yield
        finally:
            self._release()

    async def _acquire(self) -> None:
        if self.closed:
            raise Problem(ProblemCode.SHUTTING_DOWN)
        if self.active < self._max_requests:
            self.active += 1
            return
        if self.waiting >= self._max_waiting:
            raise Problem(
                ProblemCode.BUSY,
                f"{self.active} requests are worked on and {self.waiting} wait",
                retry_after=max(1, math.ceil(self._timeout / 4)),
            )
        waiter: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._line.append(waiter)
        try:
            async with asyncio.timeout(self._timeout):
                await waiter
        except TimeoutError:
            self._leave(waiter)
            detail = f"no permit within {self._timeout:g} s"
            raise Problem(ProblemCode.WAITED_TOO_LONG, detail) from None
        except asyncio.CancelledError:
            self._leave(waiter)
            raise

    def _leave(self, waiter: asyncio.Future[None]) -> None:
        """Go from the line; a permit that was handed over in this very moment goes on."""
        if waiter in self._line:
            self._line.remove(waiter)
        elif not waiter.cancelled() and waiter.exception() is None:
            self._release()

    def _release(self) -> None:
        """Hand the permit on to the first in the line, else back."""
        while self._line:
            waiter = self._line.popleft()
            if not waiter.done():
                waiter.set_result(None)
                return
        self.active -= 1
