"""Permits: as many as there are, then a bounded wait, then a refusal."""

import asyncio

import pytest

from service.http.problems import Problem, ProblemCode
from service.inference.admission import Admission

pytestmark = pytest.mark.anyio


async def test_permits_are_handed_on_in_order() -> None:
    admission = Admission(max_requests=2, max_waiting=9, timeout=20)
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


async def test_too_many_are_told_to_come_back() -> None:
    admission = Admission(max_requests=1, max_waiting=1, timeout=20)
    async with admission.permit():
        second = asyncio.ensure_future(_once(admission))
        await asyncio.sleep(0)
        with pytest.raises(Problem) as refused:
            await _once(admission)
        assert refused.value.code is ProblemCode.BUSY
        assert refused.value.status == 429
        assert int(refused.value.headers["Retry-After"]) >= 1
    await second


async def test_none_may_wait_where_none_is_allowed_to() -> None:
    admission = Admission(max_requests=1, max_waiting=0, timeout=20)
    async with admission.permit():
        with pytest.raises(Problem):
            await _once(admission)
    await _once(admission)


async def test_a_wait_is_bounded() -> None:
    admission = Admission(max_requests=1, max_waiting=5, timeout=0.05)
    async with admission.permit():
        with pytest.raises(Problem) as refused:
            await _once(admission)
        assert refused.value.status == 504
        assert admission.waiting == 0
    await _once(admission)


async def test_a_client_that_leaves_while_it_waits_takes_no_permit() -> None:
    admission = Admission(max_requests=1, max_waiting=5, timeout=20)
    async with admission.permit():
        leaving = asyncio.ensure_future(_once(admission))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
    assert (admission.active, admission.waiting) == (0, 0)
    await _once(admission)


async def test_an_error_gives_the_permit_back() -> None:
    admission = Admission(max_requests=1, max_waiting=0, timeout=20)
    with pytest.raises(ZeroDivisionError):
        async with admission.permit():
            raise ZeroDivisionError
    await _once(admission)


async def test_a_stopping_service_admits_nobody() -> None:
    admission = Admission(max_requests=1, max_waiting=0, timeout=20)
    admission.close()
    with pytest.raises(Problem) as refused:
        await _once(admission)
    assert refused.value.code is ProblemCode.SHUTTING_DOWN


async def test_who_waits_when_it_stops_is_told_at_once() -> None:
    admission = Admission(max_requests=1, max_waiting=5, timeout=20)
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
async def test_a_permit_handed_to_one_that_leaves_goes_on(late: bool) -> None:
    """In the very moment in which it leaves."""
    admission = Admission(max_requests=1, max_waiting=5, timeout=20)
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
