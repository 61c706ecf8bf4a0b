"""Which requests are open, and which of them are worked on."""

import asyncio
import math
from collections import deque
from collections.abc import AsyncIterator, Collection, Iterator
from contextlib import asynccontextmanager, contextmanager
from typing import Protocol

from ..cancellation import alongside
from ..http.problems import Problem, ProblemCode

_IDLE = 0.5  # s that a request waits for its client before its permit is lent


class Admission:
    """Hands out `max_requests` permits to work, first come, first served, among at most `max_open`
    open requests, of which `max_live` may be live sources.

    A request that waits for its client lends its permit to others and takes it back without a wait
    (`Permit.idle`): so slow clients keep nobody from working, and at most `max_open` are at work if
    all go on at once. Where all places are taken, a new request gets that of the client which is
    longest overdue.
    """

    def __init__(
        self, max_requests: int, max_waiting: int, timeout: float, max_open: int, max_live: int
    ):
        """`timeout`: the longest wait for a permit, in seconds."""
        self._max_requests = max_requests
        self._max_waiting = max_waiting
        self._timeout = timeout
        self._max_open = max_open
        self._max_live = max_live
        self._line: deque[asyncio.Future[None]] = deque()
        self._closing = asyncio.Event()
        self._places: set[Place] = set()
        self.active = 0
        """Open requests that are worked on."""

    @property
    def open(self) -> int:
        """Requests that have a place."""
        return len(self._places)

    @property
    def live(self) -> int:
        """Those of them that are live sources."""
        return sum(place.live for place in self._places)

    @property
    def waiting(self) -> int:
        """Requests that wait for a permit."""
        return len(self._line)

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    def close(self) -> None:
        """Hand out no more permits; requests that wait for one are refused."""
        self._closing.set()

    @contextmanager
    def place(self, live: bool = False, client: "Client | None" = None) -> Iterator["Place"]:
        """Held for a request's whole life, from before its body is read, unless its client is
        overdue and another needs the place. Raises `Problem` 429 when too many are open or wait for
        a permit, and 503 once closed."""
        self._refuse_if_full()
        if live and self.live >= self._max_live:
            self._evict([place for place in self._places if place.live], "live sources")
        if self.open >= self._max_open:
            self._evict(self._places, "requests")
        place = Place(live, client)
        self._places.add(place)
        try:
            yield place
        finally:
            self._places.discard(place)

    def _evict(self, places: Collection["Place"], kind: str) -> None:
        """Frees the one whose client is longest overdue. Raises `Problem` 429 where none is."""
        due, last = min(((place.due(), place) for place in places), key=lambda pair: pair[0])
        if due > asyncio.get_running_loop().time():
            raise self._busy(f"{len(places)} {kind} are open")
        self._places.discard(last)
        last.evict()

    @asynccontextmanager
    async def permit(self) -> AsyncIterator["Permit"]:
        """Held while a request is worked on. Raises `Problem` 429 when too many wait already, 504
        after too long a wait and 503 once closed."""
        self._refuse_if_full()
        if self._line or self.active >= self._max_requests:
            await self._wait()
        else:
            self.active += 1
        try:
            yield Permit(self)
        finally:
            self.give_back()

    def give_back(self) -> None:
        """One request less is worked on; the next in line may begin."""
        self.active -= 1
        while self._line and self.active < self._max_requests:
            turn = self._line.popleft()
            if not turn.done():
                self.active += 1
                turn.set_result(None)

    def take_back(self) -> None:
        """A request goes on, whether there is a permit or not."""
        self.active += 1

    async def _wait(self) -> None:
        turn = asyncio.get_running_loop().create_future()
        self._line.append(turn)
        try:
            async with asyncio.timeout(self._timeout), alongside(self._until_closing()):
                await turn
        except BaseException as error:
            if turn in self._line:
                self._line.remove(turn)
            elif not turn.cancelled():
                self.give_back()
            if isinstance(error, TimeoutError):
                detail = f"no permit within {self._timeout:g} s"
                raise Problem(ProblemCode.WAITED_TOO_LONG, detail) from None
            raise

    def _refuse_if_full(self) -> None:
        if self.closed:
            raise Problem(ProblemCode.SHUTTING_DOWN)
        free = self.active < self._max_requests and not self._line
        if not free and self.waiting >= self._max_waiting:
            raise self._busy(f"{self.active} requests are worked on and {self.waiting} wait")

    def _busy(self, detail: str) -> Problem:
        after = max(1, math.ceil(self._timeout / 4))
        return Problem(ProblemCode.BUSY, detail, retry_after=after)

    async def _until_closing(self) -> None:
        await self._closing.wait()
        raise Problem(ProblemCode.SHUTTING_DOWN)


class Client(Protocol):
    """The client of a request, as it reads its answer."""

    def answer_due(self) -> float:
        """When it must have read more (`loop.time`); infinity while it is not waited for."""

    def evict(self) -> None:
        """Closes its connection at once."""


class Place:
    """A request's place among those that are open."""

    def __init__(self, live: bool = False, client: Client | None = None):
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


class Permit:
    """A request's permit to be worked on."""

    def __init__(self, admission: Admission):
        self._admission = admission
        self._lent = False

    @contextmanager
    def idle(self) -> Iterator[None]:
        """A block in which the request waits for its client: after half a second others may have
        its permit, until the block ends."""
        timer = asyncio.get_running_loop().call_later(_IDLE, self._lend)
        try:
            yield
        finally:
            timer.cancel()
            if self._lent:
                self._lent = False
                self._admission.take_back()

    def _lend(self) -> None:
        self._lent = True
        self._admission.give_back()
