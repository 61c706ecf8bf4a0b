"""Who sends requests, and what each request costs."""

from collections.abc import Iterator
from contextlib import contextmanager

from ..http.keys import ApiKey
from ..http.problems import Problem, ProblemCode
from ..metrics import Metrics
from .fair_queue import Owner
from .quota import Quota

LEAST_COST = 1.0
"""Audio-seconds that a request counts as at least: it costs more than its audio."""


class Tenant:
    """All requests with one API key, or without any."""

    def __init__(self, key: ApiKey, observer: Metrics | None = None):
        self.key = key
        self._observer = observer
        self.open = 0
        """Requests that have a place, and listeners that need none."""
        self.at_work: set[Claim] = set()
        """Those that have a permit and do not lend it."""
        self.stream_weight = 1.0
        """Of each of its streams in the queue."""
        limits = (("minute", key.per_minute, 60), ("hour", key.per_hour, 3600))
        self._quotas = [Quota(name, audio, s) for name, audio, s in limits if audio is not None]

    @property
    def load(self) -> float:
        """How much of the service it has, by its weight."""
        return len(self.at_work) / self.key.weight

    def charge(self, audio: float) -> None:
        """Take so many audio-seconds from its quotas, or give them back where it is negative."""
        for quota in self._quotas:
            quota.charge(audio)

    def worked(self, audio: float) -> None:
        """So much work was done for it."""
        if self._observer is not None:
            self._observer.key_worked(self.key.name, audio)

    @contextmanager
    def opened(self) -> Iterator[None]:
        """A block in which one more of its requests is open."""
        self.open += 1
        try:
            yield
        finally:
            self.open -= 1

    def check_concurrency(self) -> None:
        """Raises `Problem` 429 where it has as many requests open as it may have."""
        if self.key.concurrent is not None and self.open >= self.key.concurrent:
            detail = f"{self.open} requests with this key are open, as many as it may have"
            raise self._exceeded("concurrent", detail, None)

    def check_quotas(self) -> None:
        """Raises `Problem` 429 where one is used up."""
        quota = max(self._quotas, key=Quota.wait, default=None)
        if quota is not None and (wait := quota.wait()):
            detail = f"this key's audio-seconds of the {quota.name} are used up for {wait} s"
            raise self._exceeded(quota.name, detail, wait)

    def refused(self, reason: str) -> None:
        """One of its requests was."""
        if self._observer is not None:
            self._observer.key_refused(self.key.name, reason)

    def headers(self) -> dict[str, str]:
        """What its answers say of its limits; nothing where it has none."""
        policies = [quota.policy() for quota in self._quotas]
        states = [quota.state() for quota in self._quotas]
        if (most := self.key.concurrent) is not None:
            policies.append(f'"concurrent";q={most};qu="concurrent-requests"')
            states.append(f'"concurrent";r={max(0, most - self.open)}')
        if not policies:
            return {}
        return {"RateLimit-Policy": ", ".join(policies), "RateLimit": ", ".join(states)}

    def _exceeded(self, reason: str, detail: str, wait: int | None) -> Problem:
        self.refused(reason)
        return Problem(ProblemCode.QUOTA_EXCEEDED, detail, retry_after=wait)


class Claim(Owner):
    """What a request costs, in audio-seconds of work: each pass of its audio through a network or a
    language model counts. First an estimate; corrected as more is known, never to refuse it."""

    def __init__(self, tenant: Tenant):
        self.tenant = tenant
        self.passes = 1
        """Through networks and language models."""
        self._audio = 0.0  # s, estimated or known
        self._seen = 0.0  # s that have come
        self._worked = 0.0
        self._charged = 0.0

    @property
    def weight(self) -> float:
        """As `Owner`."""
        return self.tenant.stream_weight

    @property
    def cost(self) -> float:
        """As far as it is known."""
        return max(LEAST_COST, self._audio * self.passes)

    @property
    def left(self) -> float:
        """What is still to be done."""
        return max(0.0, self.cost - self._worked)

    def estimate(self, audio: float) -> None:
        """Its audio is probably so long, in seconds."""
        self._audio = max(audio, self._seen)
        self._correct()

    def came(self, audio: float) -> None:
        """So many more seconds of its audio are here."""
        self._seen += audio
        if self._seen > self._audio:
            self._audio = self._seen
            self._correct()

    def complete(self) -> None:
        """All of its audio is here."""
        self._audio = self._seen
        self._correct()

    def work_done(self, audio: float) -> None:
        """As `Owner`."""
        self._worked += audio
        self.tenant.worked(audio)

    def begin(self) -> None:
        """Its quota pays for it from now on."""
        self._charge(self.cost)

    def end(self) -> None:
        """It costs no more than was done."""
        self._charge(max(LEAST_COST, self._worked))

    def give_up(self) -> None:
        """It never began, and costs nothing."""
        self._charge(0.0)

    def _correct(self) -> None:
        if self._charged:
            self._charge(self.cost)

    def _charge(self, cost: float) -> None:
        self.tenant.charge(cost - self._charged)
        self._charged = cost
