"""How permits, places and the machine are shared among API keys, and when a turn comes."""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from ..http.keys import ANONYMOUS, ApiKey
from ..metrics import Metrics
from .pace import Pace, audio_before_turn
from .tenants import Claim, Tenant

_LONG = 60.0  # audio-seconds: what a longer request has left delays nobody by more
_GREED = 4  # a key may take a permit while it has fewer than so many times those that are free


@dataclass(frozen=True)
class Limits:
    """What is admitted."""

    requests: int
    """Permits."""
    waiting: int
    """Requests that wait for one."""
    timeout: float
    """The longest wait for a permit, in seconds."""
    open: int
    """Requests that have a place."""
    live: int
    """Those of them that are live sources."""
    audio: float = 0.0
    """Audio-seconds of work that may come before a request with a permit; 0: as many as are worked
    off in `seconds`."""
    seconds: float = math.inf
    """How long that may take."""


def leaves_a_share(held: int, free: int) -> bool:
    """Whether a key that holds so many may have one more of those that are free, and others still
    have their share."""
    return held < _GREED * free


class Shares:
    """Who may have how much.

    Of whatever there is (permits, places in line, places at all), one key among several never takes
    everything: a share is left for others, which is smaller the more keys want some (the dynamic
    thresholds of Choudhury and Hahne, 1998).
    """

    def __init__(self, limits: Limits, pace: Pace, observer: Metrics | None, keys: int):
        """`pace`: how fast work is done; `keys`: how many there are."""
        self.limits = limits
        self._pace = pace
        self._observer = observer
        self._shared = keys > 1
        self._tenants: dict[str, Tenant] = {}

    @property
    def audio_limit(self) -> float | None:
        """Audio-seconds of work that may come before a request with a permit; None before it is
        known how fast work is done."""
        if self.limits.audio:
            return self.limits.audio
        speed = self._pace.speed
        return None if speed is None else speed * self.limits.seconds

    def tenant(self, key: ApiKey = ANONYMOUS) -> Tenant:
        """Whose requests are those with this key."""
        if key.name not in self._tenants:
            self._tenants[key.name] = Tenant(key, self._observer)
        return self._tenants[key.name]

    @property
    def active(self) -> int:
        """Requests that are worked on."""
        return sum(len(tenant.at_work) for tenant in self._tenants.values())

    def start(self, claim: Claim) -> None:
        """This request is worked on."""
        claim.tenant.at_work.add(claim)
        self._share_out()

    def stop(self, claim: Claim) -> None:
        """It is not worked on any longer."""
        claim.tenant.at_work.discard(claim)
        self._share_out()

    def at_work(self) -> Iterator[Claim]:
        """The requests that are worked on."""
        for tenant in self._tenants.values():
            yield from tenant.at_work

    def room(self, held: int, taken: int, limit: int) -> bool:
        """Whether a key that holds `held` of `limit`, of which so many are taken, may have one
        more."""
        free = limit - taken
        return free > 0 and (not self._shared or leaves_a_share(held, free))

    def permit_for(self, tenant: Tenant) -> bool:
        """Whether it may have another permit."""
        return self.room(len(tenant.at_work), self.active, self.limits.requests)

    def may_begin(self, claim: Claim) -> bool:
        """Whether there is a permit for this request, and not too much before it."""
        if not self.permit_for(claim.tenant):
            return False
        limit = self.audio_limit
        return not self.active or limit is None or self._audio_before(claim) <= limit

    def seconds_before_turn(
        self, claim: Claim, line: Sequence[Claim], surely: bool = False
    ) -> float | None:
        """In how many seconds it will probably have its permit, after those in `line`; None where
        that is not known.

        `surely`: not before that, although long requests often lend their permits before they end.
        """
        speed = self._pace.speed
        if speed is None:
            return None
        tenant, active = claim.tenant, self.active
        longest = _LONG if surely else math.inf
        before = [min(other.left, longest) for other in line if other.tenant is tenant]
        share = 1.0
        if own := [
            min(other.left, longest) for other in tenant.at_work
        ]:  # then one of these will end
            others = [t for t in self._tenants.values() if t.at_work and t is not tenant]
            weight = tenant.key.weight
            share = weight / (weight + sum(other.key.weight for other in others))
            free = self.limits.requests - active if self.permit_for(tenant) else 0
            audio = audio_before_turn(own, before, len(own) + free)
        else:
            at_work = [min(other.left, longest) for other in self.at_work()]
            audio = audio_before_turn(at_work, before, self.limits.requests)
        seconds = audio / (speed * share)
        if (limit := self.audio_limit) is not None:
            most = min(claim.left, _LONG)
            ahead = self._audio_before(claim) + sum(min(cost, most) for cost in before)
            seconds = max(seconds, (ahead - limit) / speed)
        return seconds

    def _audio_before(self, claim: Claim) -> float:
        """Audio-seconds of work that come before this request ends, or before the first of them do
        if it is long: since the queue is fair, none goes first with more than this one has itself,
        and another key with no more, in all, than its share."""
        most = min(claim.left, _LONG)
        own = sum(min(other.left, most) for other in claim.tenant.at_work)
        total = own
        for tenant in self._tenants.values():
            if tenant is not claim.tenant:
                share = (own + most) * tenant.key.weight / claim.tenant.key.weight
                total += min(share, sum(other.left for other in tenant.at_work))
        return total

    def _share_out(self) -> None:
        """Weigh the streams in the queue so that keys have their shares, however many streams each
        has; all weights together are as many as there are streams."""
        working = [tenant for tenant in self._tenants.values() if tenant.at_work]
        weights = sum(tenant.key.weight for tenant in working)
        streams = self.active
        for tenant in working:
            share = tenant.key.weight / weights
            tenant.stream_weight = share * streams / len(tenant.at_work)
