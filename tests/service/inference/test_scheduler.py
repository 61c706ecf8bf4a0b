"""The queue, with real threads: what a stream gets, and everything that can go wrong."""

import asyncio
from typing import Any

import pytest

from model_core.codec import Work
from model_core.codec.work import CPU
from service.inference.scheduler import Scheduler, SchedulerError
from tests.service.inference.queueing import Gate, Seen, running, same, task, work

pytestmark = pytest.mark.anyio


async def test_results_come_in_the_order_of_their_works() -> None:
    double = task(lambda items: [2 * item for item in items])
    async with running(threads=2) as (scheduler, seen):
        stream = scheduler.stream()
        first = await stream.run([Work(double, n, 1.0) for n in (1, 2, 3)])
        assert await stream.run([Work(double, n, 1.0) for n in first]) == [4, 8, 12]
        assert await stream.run([]) == await stream.run([], in_order=True) == []
        assert seen.audio == 6
        assert scheduler.depth == 0


async def test_work_whose_client_has_gone_is_not_done() -> None:
    done: list[Any] = []

    def note(items: list[Any]) -> list[Any]:
        done.extend(items)
        return items

    async with running() as (scheduler, _):
        gate = Gate()
        held = asyncio.ensure_future(scheduler.submit(gate.work))
        await gate.wait_until_entered()
        works = [work(note, "gone") for _ in range(3)]
        leaving = asyncio.ensure_future(scheduler.run(works))
        staying = asyncio.ensure_future(scheduler.submit(work(note, "here")))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        gate.opened.set()
        assert await staying == "here"
        await held
    assert done == ["here"]


async def test_one_bad_item_fails_alone() -> None:
    def invert(items: list[Any]) -> list[Any]:
        return [1 / item for item in items]

    divide = task(invert, batch=8)
    async with running() as (scheduler, _):
        gate = Gate()
        held = asyncio.ensure_future(scheduler.submit(gate.work))
        await gate.wait_until_entered()
        waiting = asyncio.gather(
            *(scheduler.submit(Work(divide, n, 1.0)) for n in (1, 0, 2)),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
        gate.opened.set()
        good, bad, also_good = await waiting
        await held
        assert (good, also_good) == (1, 0.5)
        assert isinstance(bad, ZeroDivisionError)
        assert scheduler.healthy
        assert await scheduler.submit(Work(divide, 4, 1.0)) == 0.25


async def test_an_error_of_a_work_is_raised_in_its_stream_which_can_go_on() -> None:
    def fail(items: list[Any]) -> list[Any]:
        raise LookupError("no such thing")

    async with running() as (scheduler, _):
        stream = scheduler.stream()
        with pytest.raises(LookupError, match="no such thing"):
            await stream.run([work(fail)])
        with pytest.raises(LookupError):
            await stream.run([work(same), work(fail)])
        assert await stream.run([work(same, "still here")]) == ["still here"]


@pytest.mark.parametrize("wrong", [StopIteration("x"), MemoryError("x")])
async def test_no_error_of_an_item_leaves_its_stream_waiting(wrong: Exception) -> None:
    def fail(items: list[Any]) -> list[Any]:
        raise wrong

    async with running() as (scheduler, _):
        with pytest.raises((RuntimeError, MemoryError)):
            await asyncio.wait_for(scheduler.submit(work(fail)), 20)
        assert scheduler.healthy


async def test_too_few_results_are_an_error() -> None:
    async with running() as (scheduler, _):
        with pytest.raises(ValueError, match="not answered each"):
            await asyncio.wait_for(scheduler.submit(work(lambda items: [])), 20)


async def test_a_worker_that_dies_fails_everything_and_says_so() -> None:
    deaths: list[bool] = []

    def die(items: list[Any]) -> list[Any]:
        raise SystemExit(3)

    async with running(on_death=lambda: deaths.append(True)) as (scheduler, _):
        gate = Gate()
        held = asyncio.ensure_future(scheduler.submit(gate.work))
        await gate.wait_until_entered()
        waiting = asyncio.gather(
            scheduler.submit(work(die)),
            scheduler.submit(work(same)),
            scheduler.submit(work(same)),
            return_exceptions=True,
        )
        await asyncio.sleep(0)
        gate.opened.set()
        await held
        for result in await asyncio.wait_for(waiting, 20):
            assert isinstance(result, SchedulerError)
            assert not result.stopping
        assert not scheduler.healthy
        assert deaths == [True]
        with pytest.raises(SchedulerError):
            await scheduler.submit(work(same))


async def test_stopping_fails_what_waits() -> None:
    async with running() as (scheduler, _):
        gate = Gate()
        held = asyncio.ensure_future(scheduler.submit(gate.work))
        await gate.wait_until_entered()
        waiting = asyncio.ensure_future(scheduler.submit(work(same)))
        await asyncio.sleep(0)
        stopping = asyncio.ensure_future(scheduler.stop())
        with pytest.raises(SchedulerError) as refused:
            await asyncio.wait_for(waiting, 20)
        assert refused.value.stopping
        gate.opened.set()
        await held
        await stopping


async def test_nothing_is_taken_before_the_start() -> None:
    scheduler = Scheduler(1, CPU, Seen())
    assert not scheduler.healthy
    with pytest.raises(SchedulerError):
        await scheduler.submit(work(same))
