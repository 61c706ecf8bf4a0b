"""Permits: so many requests at a time, a bounded line of waiting ones, and refusals."""

import asyncio
import math
import re
from collections.abc import Sequence
from contextlib import AsyncExitStack, ExitStack

import pytest

from service.http.keys import ApiKey
from service.http.problems import Problem, ProblemCode
from service.inference.admission import Admission
from service.inference.pace import Pace
from service.inference.shares import Limits
from service.inference.tenants import LEAST_COST, Claim, Tenant

pytestmark = pytest.mark.anyio


async def test_permits_are_given_first_come_first_served() -> None:
    admission = Admission(Limits(2, 9, 20, open=99, live=9))
    order: list[int] = []
    active: list[int] = []

    async def request(number: int) -> None:
        async with admission.permit():
            order.append(number)
            active.append(admission.active)
            await asyncio.sleep(0)

    await asyncio.gather(*(request(n) for n in range(8)))
    assert order == list(range(8))
    assert max(active) == 2
    assert (admission.active, admission.waiting) == (0, 0)


async def test_a_full_waiting_line_is_a_429_with_retry_after() -> None:
    admission = Admission(Limits(1, 1, 20, open=99, live=9))
    async with admission.permit():
        second = asyncio.ensure_future(_once(admission))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await _once(admission)
        assert refused.value.code is ProblemCode.BUSY
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
    await second


async def test_without_a_waiting_line_a_full_service_refuses_at_once() -> None:
    admission = Admission(Limits(1, 0, 20, open=99, live=9))
    async with admission.permit():
        with pytest.raises(Problem):
            await _once(admission)
    await _once(admission)


async def test_a_wait_longer_than_the_timeout_is_a_504() -> None:
    admission = Admission(Limits(1, 5, 0.05, open=99, live=9))
    async with admission.permit():
        with pytest.raises(Problem) as refused:
            await _once(admission)
        assert refused.value.status == 504
        assert admission.waiting == 0
    await _once(admission)


async def test_a_client_that_leaves_while_it_waits_takes_no_permit() -> None:
    admission = Admission(Limits(1, 5, 20, open=99, live=9))
    async with admission.permit():
        leaving = asyncio.ensure_future(_once(admission))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    assert (admission.active, admission.waiting) == (0, 0)
    await _once(admission)


async def test_a_request_that_fails_gives_its_permit_back() -> None:
    admission = Admission(Limits(1, 0, 20, open=99, live=9))
    with pytest.raises(ZeroDivisionError):
        async with admission.permit():
            raise ZeroDivisionError
    await _once(admission)


async def test_a_closed_service_admits_no_request() -> None:
    admission = Admission(Limits(1, 0, 20, open=99, live=9))
    admission.close()
    with pytest.raises(Problem) as refused:
        await _once(admission)
    assert refused.value.code is ProblemCode.SHUTTING_DOWN


async def test_waiting_requests_are_refused_at_once_when_the_service_closes() -> None:
    admission = Admission(Limits(1, 5, 20, open=99, live=9))
    async with admission.permit():
        waiting = [asyncio.ensure_future(_once(admission)) for _ in range(3)]
        await asyncio.sleep(0)
        assert admission.waiting == 3
        waiting[0].cancel()
        admission.close()
        told = await asyncio.wait_for(asyncio.gather(*waiting, return_exceptions=True), 20)
        assert isinstance(told[0], asyncio.CancelledError)
        for problem in told[1:]:
            assert isinstance(problem, Problem)
            assert problem.code is ProblemCode.SHUTTING_DOWN
    assert (admission.active, admission.waiting) == (0, 0)


@pytest.mark.parametrize("late", [False, True])
async def test_a_permit_given_to_a_client_that_is_leaving_goes_to_the_next(late: bool) -> None:
    """At the very moment when the client leaves."""
    admission = Admission(Limits(1, 5, 20, open=99, live=9))
    held = admission.permit()
    await held.__aenter__()
    leaving, staying = (asyncio.ensure_future(_once(admission)) for _ in range(2))
    await asyncio.sleep(0)
    if not late:
        leaving.cancel()
    await held.__aexit__(None, None, None)
    leaving.cancel()
    await asyncio.wait_for(staying, 20)
    assert (admission.active, admission.waiting) == (0, 0)


async def _once(admission: Admission, claim: Claim | None = None) -> None:
    async with admission.permit(claim):
        pass


async def test_a_request_that_waits_for_its_client_lends_its_permit() -> None:
    admission = Admission(Limits(1, 5, 20, open=99, live=9))
    async with admission.permit() as permit:
        other = asyncio.ensure_future(_once(admission))
        with permit.idle():
            await other
            assert admission.active == 0
        assert admission.active == 1
        with permit.idle():
            pass  # too short to be lent
        assert admission.active == 1
    assert admission.active == 0


async def test_a_permit_is_not_taken_back_after_its_request() -> None:
    """Its answer may be left suspended, and is cleared away later."""
    admission = Admission(Limits(1, 5, 20, open=99, live=9))
    async with admission.permit() as permit:
        waiting = permit.idle()
        waiting.__enter__()
        await _once(admission)
        assert admission.active == 0
    waiting.__exit__(None, None, None)
    assert admission.active == 0
    async with admission.permit() as permit:
        waiting = permit.idle()
        waiting.__enter__()
    await asyncio.sleep(0.6)  # after the request it cannot be lent either
    assert admission.active == 0


async def test_a_permit_is_taken_back_at_once_and_delays_the_next_in_line() -> None:
    admission = Admission(Limits(1, 5, 20, open=99, live=9))
    async with admission.permit() as permit:
        with permit.idle():
            borrowed = admission.permit()
            await borrowed.__aenter__()
        assert admission.active == 2
        third = asyncio.ensure_future(_once(admission))
        await borrowed.__aexit__(None, None, None)
        await asyncio.sleep(0)
        assert not third.done()
    await third
    assert admission.active == 0


async def test_open_requests_and_live_sources_are_limited() -> None:
    admission = Admission(Limits(5, 5, 20, open=3, live=1))
    with admission.place(), admission.place(live=True):
        with pytest.raises(Problem) as refused, admission.place(live=True):
            pass
        assert refused.value.status == 429
        with admission.place():
            with pytest.raises(Problem) as refused, admission.place():
                pass
            assert refused.value.status == 429
    assert (admission.open, admission.live) == (0, 0)


async def test_a_new_request_gets_the_place_that_is_longest_overdue() -> None:
    admission = Admission(Limits(5, 5, 20, open=3, live=9))
    now = asyncio.get_running_loop().time()
    lost: list[float] = []

    async def slow(due: float) -> None:
        with admission.place() as place:
            try:
                async with asyncio.timeout(100) as wait:
                    with place.waiting(due, wait):
                        await asyncio.Event().wait()
            except TimeoutError:
                assert place.lost
                lost.append(due)

    waiting = [asyncio.ensure_future(slow(now + due)) for due in (-1, -2, 60)]
    await asyncio.sleep(0)
    with ExitStack() as stack:
        for expected in ([-2], [-2, -1]):
            stack.enter_context(admission.place())
            await asyncio.sleep(0.01)
            assert [round(due - now) for due in lost] == expected
            assert admission.open == 3
        with pytest.raises(Problem) as refused, admission.place():
            pass  # the last may take its time
        assert refused.value.status == 429
    waiting[2].cancel()
    await asyncio.wait(waiting)
    assert admission.open == 0


class Reader:
    """A client that owes nothing before `due`."""

    def __init__(self, due: float):
        self.due = due
        self.evicted = False

    def answer_due(self) -> float:
        return self.due

    def evict(self) -> None:
        self.evicted = True


async def test_a_client_that_does_not_read_loses_its_place_and_its_connection() -> None:
    admission = Admission(Limits(5, 5, 20, open=2, live=9))
    overdue, reading = Reader(0), Reader(math.inf)
    with admission.place(client=overdue) as lost, admission.place(client=reading) as kept:
        with admission.place():
            assert admission.open == 2
        assert (lost.lost, overdue.evicted) == (True, True)
        assert (kept.lost, reading.evicted) == (False, False)


async def test_a_live_source_takes_the_place_of_a_live_source_only() -> None:
    admission = Admission(Limits(5, 5, 20, open=9, live=1))
    with (
        admission.place(client=Reader(0)) as other,
        admission.place(live=True, client=Reader(1)) as live,
        admission.place(live=True),
    ):
        assert (other.lost, live.lost) == (False, True)


def claim_of(tenant: Tenant, audio: float) -> Claim:
    claim = Claim(tenant)
    claim.estimate(audio)
    return claim


def by_audio(audio: float, **limits: float) -> Admission:
    """Permits for everybody, but only so many audio-seconds."""
    return Admission(Limits(64, 64, 20, open=99, live=9, audio=audio, **limits))


async def hold(stack: AsyncExitStack, admission: Admission, *claims: Claim) -> None:
    for claim in claims:
        await stack.enter_async_context(admission.permit(claim))


async def test_a_request_waits_while_too_much_audio_comes_before_it() -> None:
    admission = by_audio(100)
    me = admission.tenant()
    first, second, third = (claim_of(me, 50) for _ in range(3))
    async with AsyncExitStack() as stack:
        await hold(stack, admission, first, second, third)  # before it come 0, 50, 100
        late = claim_of(me, 50)
        waiting = asyncio.ensure_future(_once(admission, late))
        await asyncio.sleep(0.3)
        assert (admission.active, admission.waiting) == (3, 1)
        assert admission.audio == 200
        first.work_done(50)  # nobody ends, but there is less to do
        await waiting


async def test_a_request_of_any_length_is_admitted_where_nothing_is_worked_on() -> None:
    admission = by_audio(100)
    await _once(admission, claim_of(admission.tenant(), 36_000))


async def test_short_requests_go_before_long_ones_that_do_not_fit() -> None:
    """The queue is fair, so what the long ones have left does not come before the short one."""
    admission = by_audio(100)
    me = admission.tenant()
    async with AsyncExitStack() as stack:
        await hold(stack, admission, claim_of(me, 3600), claim_of(me, 3600))
        waiting = asyncio.ensure_future(_once(admission, claim_of(me, 3600)))
        await asyncio.sleep(0)
        assert admission.waiting == 1
        await _once(admission, claim_of(me, 5))
        waiting.cancel()


async def test_short_requests_go_first_only_for_a_while() -> None:
    admission = Admission(Limits(64, 64, 8, open=99, live=9, audio=100))
    me = admission.tenant()
    async with AsyncExitStack() as stack:
        long = claim_of(me, 3600)
        await hold(stack, admission, long, claim_of(me, 3600))
        first = asyncio.ensure_future(_forever(admission, claim_of(me, 3600)))
        await _once(admission, claim_of(me, 5))
        await asyncio.sleep(2.1)  # a quarter of the timeout
        late = asyncio.ensure_future(_once(admission, claim_of(me, 5)))
        await asyncio.sleep(0.2)
        assert (late.done(), admission.waiting) == (False, 2)
        long.work_done(3590)
        await late
        assert (admission.active, admission.waiting) == (3, 0)
        await _cancel([first])


async def test_whoever_has_waited_for_others_work_alone_begins_in_the_end() -> None:
    """Its time is up, but there is a permit."""
    admission = Admission(Limits(3, 64, 0.2, open=99, live=9, audio=100))
    me = admission.tenant()
    async with AsyncExitStack() as stack:
        await hold(stack, admission, claim_of(me, 3600), claim_of(me, 3600))
        await hold(stack, admission, claim_of(me, 3600))
        assert (admission.active, admission.waiting) == (3, 0)
        with pytest.raises(Problem) as refused:
            await _once(admission, claim_of(me, 3600))
        assert refused.value.status == 504


async def test_a_limit_in_seconds_is_as_much_as_is_done_in_them() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    admission = Admission(Limits(64, 64, 20, open=99, live=9, seconds=2), pace)
    assert admission.audio_limit is None  # as long as nothing was measured
    with pace.batch(90.0):
        now += 2
    assert admission.audio_limit == pytest.approx(90)


async def test_a_request_whose_turn_would_come_too_late_is_refused_at_once() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    with pace.batch(20.0):
        now += 2  # 10 audio-seconds a second
    admission = Admission(Limits(1, 64, timeout=30, open=99, live=9), pace)
    me = admission.tenant()
    async with AsyncExitStack() as stack:
        await hold(stack, admission, claim_of(me, 55))
        in_line = [asyncio.ensure_future(_once(admission, claim_of(me, 50))) for _ in range(2)]
        await asyncio.sleep(0)
        assert admission.waiting == 2
        with pytest.raises(Problem) as refused:
            await _once(admission, claim_of(me, 1))
        assert refused.value.code is ProblemCode.BUSY
        assert refused.value.headers["Retry-After"] == "16"
        with pytest.raises(Problem) as refused, admission.place():
            pass  # and before its body is read
        assert refused.value.headers["Retry-After"] == "16"
    await asyncio.gather(*in_line)


async def test_long_requests_that_may_lend_their_permits_are_waited_for() -> None:
    now = 0.0
    pace = Pace(lambda: now)
    with pace.batch(20.0):
        now += 2  # 10 audio-seconds a second
    admission = Admission(Limits(1, 1, timeout=30, open=99, live=9), pace)
    me = admission.tenant()
    async with admission.permit(claim_of(me, 3600)) as permit:
        other = asyncio.ensure_future(_once(admission))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await _once(admission)  # the line is full
        assert refused.value.headers["Retry-After"] == "361"  # which is what is queued
        with permit.idle():
            await other


def keyed(limits: Limits, *names: str) -> tuple[Admission, list[Tenant]]:
    admission = Admission(limits, keys=len(names))
    return admission, [admission.tenant(ApiKey(name)) for name in names]


async def test_one_key_never_has_all_permits() -> None:
    admission, (greedy, other) = keyed(Limits(10, 99, 20, open=99, live=9), "greedy", "other")
    async with AsyncExitStack() as stack:
        waiting = [asyncio.ensure_future(_forever(admission, Claim(greedy))) for _ in range(40)]
        await asyncio.sleep(0)
        assert len(greedy.at_work) == 8
        for _ in range(2):
            await hold(stack, admission, Claim(other))
        assert (admission.active, admission.waiting) == (10, 32)
        await _cancel(waiting)


async def test_without_several_keys_all_permits_are_for_everybody() -> None:
    admission, (only,) = keyed(Limits(10, 99, 20, open=99, live=9), "only")
    async with AsyncExitStack() as stack:
        await hold(stack, admission, *(Claim(only) for _ in range(10)))
        assert admission.active == 10


async def test_keys_get_permits_in_turn_and_those_with_few_first() -> None:
    admission, (many, few) = keyed(Limits(2, 99, 20, open=99, live=9), "many", "few")
    order: list[str] = []

    async def request(tenant: Tenant) -> None:
        async with admission.permit(Claim(tenant)):
            order.append(tenant.key.name)
            await asyncio.sleep(0)

    waiting = [asyncio.ensure_future(request(many)) for _ in range(8)]
    waiting += [asyncio.ensure_future(request(few)) for _ in range(2)]
    await asyncio.gather(*waiting)
    assert order[:2] == ["many", "many"]
    assert order.index("few") <= 3
    assert order[2:6].count("few") == 2


async def test_one_key_never_fills_the_line_nor_all_places() -> None:
    admission, (greedy, other) = keyed(Limits(1, 10, 20, open=20, live=5), "greedy", "other")
    async with AsyncExitStack() as stack:
        await hold(stack, admission, Claim(greedy))
        waiting = [asyncio.ensure_future(_forever(admission, Claim(greedy))) for _ in range(8)]
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await _once(admission, Claim(greedy))
        assert refused.value.code is ProblemCode.BUSY
        waiting.append(asyncio.ensure_future(_forever(admission, Claim(other))))
        await asyncio.sleep(0)
        assert admission.waiting == 9
        await _cancel(waiting)
    with ExitStack() as places:
        for live, most in ((True, 4), (False, 12)):
            for _ in range(most):
                places.enter_context(admission.place(live, tenant=greedy))
            with pytest.raises(Problem), admission.place(live, tenant=greedy):
                pass
            places.enter_context(admission.place(live, tenant=other))


async def test_the_streams_of_a_key_share_its_weight() -> None:
    admission = Admission(Limits(64, 9, 20, open=99, live=9), keys=3)
    many, few, heavy = (
        admission.tenant(ApiKey(name, weight=weight))
        for name, weight in (("many", 1), ("few", 1), ("heavy", 2))
    )
    claims = [Claim(many) for _ in range(12)] + [Claim(few), Claim(heavy), Claim(heavy)]
    async with AsyncExitStack() as stack:
        await hold(stack, admission, *claims)
        by_key = {
            tenant.key.name: sum(claim.weight for claim in tenant.at_work)
            for tenant in (many, few, heavy)
        }
        assert by_key["many"] == pytest.approx(by_key["few"])
        assert by_key["heavy"] == pytest.approx(2 * by_key["few"])
        assert sum(by_key.values()) == pytest.approx(15)


async def test_concurrent_requests_of_a_key_are_limited() -> None:
    admission = Admission(Limits(64, 9, 20, open=99, live=9))
    tenant = admission.tenant(ApiKey("a", concurrent=1))
    with admission.place(tenant=tenant):
        with pytest.raises(Problem) as refused, admission.place(tenant=tenant):
            pass
        assert refused.value.code is ProblemCode.QUOTA_EXCEEDED
        assert int(refused.value.headers["Retry-After"]) >= 1
        with admission.place():
            pass
    with admission.place(tenant=tenant):
        pass


async def test_a_quota_is_charged_with_what_was_done() -> None:
    """Not with what was estimated: too much is given back, too little taken in addition."""
    admission = Admission(Limits(64, 9, 20, open=99, live=9))
    tenant = admission.tenant(ApiKey("a", per_hour=1000.0))
    for estimate, done, paid in ((500, 100, 100), (10, 300, 300), (5, 0, LEAST_COST)):
        before = _left(tenant)
        claim = claim_of(tenant, estimate)
        async with admission.permit(claim):
            assert _left(tenant) == pytest.approx(before - estimate, abs=1)
            claim.came(done)
            assert _left(tenant) == pytest.approx(before - max(estimate, done), abs=1)
            claim.work_done(done)
        assert _left(tenant) == pytest.approx(before - paid, abs=1)


async def test_a_request_with_something_left_may_begin_and_the_next_waits_for_the_rest() -> None:
    admission = Admission(Limits(64, 9, 20, open=99, live=9))
    tenant = admission.tenant(ApiKey("a", per_minute=60.0))
    claim = claim_of(tenant, 180)
    async with admission.permit(claim):
        claim.work_done(180)
        for refusing in (_once(admission, Claim(tenant)), _placed(admission, tenant)):
            with pytest.raises(Problem) as refused:
                await refusing
            assert refused.value.code is ProblemCode.QUOTA_EXCEEDED
            assert 118 <= int(refused.value.headers["Retry-After"]) <= 121
        assert f"t={refused.value.headers['Retry-After']}" in tenant.headers()["RateLimit"]


async def test_a_request_that_never_began_costs_nothing() -> None:
    admission, (tenant,) = keyed(Limits(1, 9, 0.05, open=99, live=9), "a")
    limited = admission.tenant(ApiKey("b", per_hour=100.0))
    async with admission.permit(Claim(tenant)):
        with pytest.raises(Problem) as refused:
            await _once(admission, claim_of(limited, 50))
        assert refused.value.status == 504
    assert _left(limited) == 100


def _left(tenant: Tenant) -> float:
    return float(re.findall(r'"hour";r=(\d+)', tenant.headers()["RateLimit"])[0])


async def _placed(admission: Admission, tenant: Tenant) -> None:
    with admission.place(tenant=tenant):
        pass


async def _forever(admission: Admission, claim: Claim) -> None:
    async with admission.permit(claim):
        await asyncio.Event().wait()


async def _cancel(tasks: Sequence["asyncio.Future[None]"]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
