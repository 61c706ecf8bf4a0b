"""Which requests are open, and which of them are worked on."""

import asyncio
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from dataclasses import dataclass

from ..cancellation import alongside
from ..http.keys import ANONYMOUS, ApiKey
from ..http.problems import Problem, ProblemCode
from ..metrics import Metrics
from .pace import Pace
from .places import Client, Place
from .shares import Limits, Shares
from .tenants import Claim, Tenant

_IDLE = 0.5  # s that a request waits for its client before its permit is lent
_LOOK_AGAIN = 0.1  # s after which those in line may fit, as work is done
_SURE = 0.5  # share of the longest wait that a turn may be expected to take
_PATIENT = 0.25  # share of it for which a request lets shorter ones of its key go first
_LONGEST_RETRY = 3600  # s


@dataclass(eq=False)
class _Turn:
    """A request in line."""

    claim: Claim
    came: asyncio.Future[None]
    since: float
    """`loop.time`."""


class Admission:
    """Hands out permits to work among the open requests.

    Keys that wait get theirs in turn, those first that have the fewest. The requests of a key come
    in their order, but for a while one that fits goes before longer ones that do not. `Shares` says
    what fits.

    A request that waits for its client lends its permit to others and takes it back without a wait
    (`Permit.idle`): so slow clients keep nobody from working, and at most `limits.open` are at work
    if all go on at once. Where all places are taken, a new request gets that of the client which is
    longest overdue.
    """

    def __init__(
        self,
        limits: Limits,
        pace: Pace | None = None,
        observer: Metrics | None = None,
        keys: int = 0,
    ):
        """`pace`: how fast work is done; `keys`: how many there are."""
        self._limits = limits
        self._shares = Shares(limits, pace or Pace(), observer, keys)
        self._line: list[_Turn] = []
        self._look_again: asyncio.TimerHandle | None = None
        self._closing = asyncio.Event()
        self._places: set[Place] = set()

    @property
    def open(self) -> int:
        """Requests that have a place."""
        return len(self._places)

    @property
    def live(self) -> int:
        """Those of them that are live sources."""
        return sum(place.live for place in self._places)

    @property
    def active(self) -> int:
        """Open requests that are worked on."""
        return self._shares.active

    @property
    def waiting(self) -> int:
        """Requests that wait for a permit."""
        return len(self._line)

    @property
    def audio(self) -> float:
        """Audio-seconds of work that requests still need, at work or in line."""
        return sum(claim.left for claim in (*self._shares.at_work(), *self._in_line()))

    @property
    def audio_limit(self) -> float | None:
        """As `Shares`."""
        return self._shares.audio_limit

    @property
    def closed(self) -> bool:
        return self._closing.is_set()

    def close(self) -> None:
        """Hand out no more permits; requests that wait for one are refused."""
        self._closing.set()

    def tenant(self, key: ApiKey = ANONYMOUS) -> Tenant:
        """Whose requests are those with this key."""
        return self._shares.tenant(key)

    @contextmanager
    def place(
        self, live: bool = False, client: Client | None = None, tenant: Tenant | None = None
    ) -> Iterator[Place]:
        """Held for a request's whole life, from before its body is read, unless its client is
        overdue and another needs the place. Raises `Problem` 429 when too many are open or wait for
        a permit, or the key's limits are reached, and 503 once closed."""
        tenant = tenant or self._shares.tenant()
        self._check(tenant)
        tenant.check_concurrency()
        if not self._shares.permit_for(tenant):
            self._check_line(Claim(tenant), in_time=not live)
        if live:
            places = [place for place in self._places if place.live]
            self._make_room(places, self._limits.live, "live sources", tenant)
        self._make_room(list(self._places), self._limits.open, "requests", tenant)
        place = Place(live, client, tenant)
        self._places.add(place)
        try:
            with tenant.opened():
                yield place
        finally:
            self._places.discard(place)

    @contextmanager
    def listener(self, tenant: Tenant) -> Iterator[None]:
        """Held by who hears a live stream as it is, for which no place is taken. Raises `Problem`
        429 when the key's limits are reached, and 503 once closed."""
        self._check(tenant)
        tenant.check_concurrency()
        with tenant.opened():
            yield

    def _make_room(self, places: list[Place], limit: int, kind: str, tenant: Tenant) -> None:
        """Frees the place whose client is longest overdue, if this key cannot have another. Raises
        `Problem` 429 where none is."""
        own = [place for place in places if place.tenant is tenant]
        if self._shares.room(len(own), len(places), limit):
            return
        last = min(places if len(places) >= limit else own, key=Place.due, default=None)
        if last is None or last.due() > asyncio.get_running_loop().time():
            raise self._busy(Claim(tenant), f"{len(places)} {kind} are open")
        self._places.discard(last)
        last.evict()

    @asynccontextmanager
    async def permit(self, claim: Claim | None = None) -> AsyncIterator["Permit"]:
        """Held while a request is worked on. Raises `Problem` 429 when too many wait already, its
        turn would come too late or its key's quota is used up, 504 after too long a wait and 503
        once closed."""
        claim = claim or Claim(self._shares.tenant())
        self._check(claim.tenant)
        if self._shares.may_begin(claim) and claim.tenant not in self._held_up():
            self._shares.start(claim)
            claim.begin()
        else:
            self._check_line(claim)
            claim.begin()
            try:
                await self._wait(claim)
            except BaseException:
                claim.give_up()
                raise
        permit = Permit(self, claim)
        try:
            yield permit
        finally:
            permit.ended = True
            self.give_back(claim)
            claim.end()

    def give_back(self, claim: Claim) -> None:
        """This request is not worked on any longer; others in line may begin."""
        self._shares.stop(claim)
        self._begin_waiting()

    def take_back(self, claim: Claim) -> None:
        """A request goes on, whether there is a permit or not."""
        self._shares.start(claim)

    def _begin_waiting(self) -> None:
        """Those in line that may begin do."""
        while turn := self._next():
            self._line.remove(turn)
            if not turn.came.done():
                self._shares.start(turn.claim)
                turn.came.set_result(None)
        if self._line and self._look_again is None:
            loop = asyncio.get_running_loop()
            self._look_again = loop.call_later(_LOOK_AGAIN, self._looked_again)

    def _looked_again(self) -> None:
        self._look_again = None
        self._begin_waiting()

    def _next(self) -> _Turn | None:
        if self.active >= self._limits.requests:
            return None
        held_up = self._held_up()
        for turn in sorted(self._line, key=lambda turn: turn.claim.tenant.load):
            first = held_up.get(turn.claim.tenant, turn)
            if first is turn and self._shares.may_begin(turn.claim):
                return turn
        return None

    def _held_up(self) -> dict[Tenant, _Turn]:
        """Keys whose first request has waited so long that nobody goes before it any more."""
        since = asyncio.get_running_loop().time() - _PATIENT * self._limits.timeout
        late = [turn for turn in self._line if turn.since <= since]
        return {turn.claim.tenant: turn for turn in reversed(late)}

    def _in_line(self) -> list[Claim]:
        return [turn.claim for turn in self._line]

    async def _wait(self, claim: Claim) -> None:
        timeout = self._limits.timeout
        loop = asyncio.get_running_loop()
        turn = _Turn(claim, loop.create_future(), loop.time())
        self._line.append(turn)
        self._begin_waiting()
        try:
            async with asyncio.timeout(timeout), alongside(self._until_closing()):
                await turn.came
        except BaseException as error:
            if turn in self._line:
                self._line.remove(turn)
                if isinstance(error, TimeoutError) and self._shares.permit_for(claim.tenant):
                    self._shares.start(
                        claim
                    )  # only too much audio was before it, and it has waited
                    return
            elif not turn.came.cancelled():
                self.give_back(claim)
            if isinstance(error, TimeoutError):
                detail = f"no permit within {timeout:g} s"
                raise Problem(ProblemCode.WAITED_TOO_LONG, detail) from None
            raise

    def _check(self, tenant: Tenant) -> None:
        if self.closed:
            raise Problem(ProblemCode.SHUTTING_DOWN)
        tenant.check_quotas()

    def _check_line(self, claim: Claim, in_time: bool = True) -> None:
        """Raises `Problem` 429 where the line is full or, if it must be `in_time`, so long that the
        turn of a new request would come too late."""
        in_line = sum(other.tenant is claim.tenant for other in self._in_line())
        if not self._shares.room(in_line, self.waiting, self._limits.waiting):
            raise self._busy(claim, f"{self.active} requests are worked on and {self.waiting} wait")
        seconds = self._shares.seconds_before_turn(claim, self._in_line(), surely=True)
        if in_time and seconds is not None and seconds > _SURE * self._limits.timeout:
            raise self._busy(claim, f"its turn would not come within {seconds:.0f} s")

    def _busy(self, claim: Claim, detail: str) -> Problem:
        claim.tenant.refused("busy")
        seconds = self._shares.seconds_before_turn(claim, self._in_line())
        if seconds is None:
            seconds = self._limits.timeout / 4
        after = min(_LONGEST_RETRY, max(1, math.ceil(seconds)))
        return Problem(ProblemCode.BUSY, detail, retry_after=after)

    async def _until_closing(self) -> None:
        await self._closing.wait()
        raise Problem(ProblemCode.SHUTTING_DOWN)


class Permit:
    """A request's permit to be worked on."""

    def __init__(self, admission: Admission, claim: Claim):
        self._admission = admission
        self._claim = claim
        self._lent = False
        self.ended = False
        """Whether the request is over, though something of it may still be suspended in `idle`."""

    @contextmanager
    def idle(self) -> Iterator[None]:
        """A block in which the request waits for its client: after half a second others may have
        its permit, until the block ends."""
        timer = asyncio.get_running_loop().call_later(_IDLE, self._lend)
        try:
            yield
        finally:
            timer.cancel()
            if self._lent and not self.ended:
                self._lent = False
                self._admission.take_back(self._claim)

    def _lend(self) -> None:
        if not self.ended:
            self._lent = True
            self._admission.give_back(self._claim)
