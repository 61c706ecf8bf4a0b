"""Permits: so many requests at a time, a bounded line of waiting ones, and refusals."""

import asyncio
import math
from contextlib import ExitStack

import pytest

from service.http.problems import Problem, ProblemCode
from service.inference.admission import Admission, Limits

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


async def _once(admission: Admission) -> None:
    async with admission.permit():
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
