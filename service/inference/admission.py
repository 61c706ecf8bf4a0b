"""Permits: how many requests are worked on, how many may wait, and for how long."""

import asyncio
import math
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

from ..cancellation import alongside
from ..http.problems import Problem, ProblemCode


class Admission:
    """Hands out `max_requests` permits, first come, first served."""

    def __init__(self, max_requests: int, max_waiting: int, timeout: float):
        """`timeout`: the longest wait for a permit, in seconds."""
        self._permits = asyncio.Semaphore(max_requests)
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._closing = asyncio.Event()
        self.active = 0
        self.waiting = 0
        """Requests that wait for a permit."""

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    def close(self) -> None:
        """Hand out no more permits; requests that wait for one are refused."""
        self._closing.set()

    @asynccontextmanager
    async def permit(self) -> AsyncIterator[None]:
        """Held for a request's whole life. Raises `Problem` 429 when too many wait already, 504
        after too long a wait and 503 once closed."""
        if self.closed:
            raise Problem(ProblemCode.SHUTTING_DOWN)
        async with AsyncExitStack() as stack:
            if self._permits.locked():
                await self._wait(stack)
            else:
                await stack.enter_async_context(self._permits)
            self.active += 1
            try:
                yield
            finally:
                self.active -= 1

    async def _wait(self, stack: AsyncExitStack) -> None:
        if self.waiting >= self._max_waiting:
            raise Problem(
                ProblemCode.BUSY,
                f"{self.active} requests are worked on and {self.waiting} wait",
                retry_after=max(1, math.ceil(self._timeout / 4)),
            )
        self.waiting += 1
        try:
            async with asyncio.timeout(self._timeout), alongside(self._until_closing()):
                await stack.enter_async_context(self._permits)
        except TimeoutError:
            detail = f"no permit within {self._timeout:g} s"
            raise Problem(ProblemCode.WAITED_TOO_LONG, detail) from None
        finally:
            self.waiting -= 1

    async def _until_closing(self) -> None:
        await self._closing.wait()
        raise Problem(ProblemCode.SHUTTING_DOWN)
