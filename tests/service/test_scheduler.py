"""The queue, with real threads: what a stream gets, and everything that can go wrong."""

import asyncio
import threading
from typing import Any

import pytest

from model_core.codec import Steps, Work
from model_core.codec.work import CPU
from service.scheduler import Scheduler, SchedulerError
from tests.service.queueing import Gate, Seen, running, same, task, work


def test_a_stream_is_sent_its_results_in_order() -> None:
    double = task(lambda items: [2 * item for item in items])

    def steps() -> Steps[list[Any]]:
        first = yield [Work(double, n, 1.0) for n in (1, 2, 3)]
        second = yield [Work(double, n, 1.0) for n in first]
        nothing = yield []
        return [*second, *nothing]

    async def run() -> None:
        async with running(threads=2) as (scheduler, seen):
            assert await scheduler.drive(steps()) == [4, 8, 12]
            assert seen.audio == 6
            assert scheduler.depth == 0

    asyncio.run(run())


def test_work_whose_client_has_gone_is_not_done() -> None:
    done: list[Any] = []
    closed = threading.Event()

    def note(items: list[Any]) -> list[Any]:
        done.extend(items)
        return items

    def steps() -> Steps[None]:
        try:
            yield [work(note, "gone") for _ in range(3)]
        finally:
            closed.set()

    async def run() -> None:
        async with running() as (scheduler, _):
            gate = Gate()
            held = asyncio.ensure_future(scheduler.submit(gate.work))
            await gate.wait_until_entered()
            leaving = asyncio.ensure_future(scheduler.drive(steps()))
            staying = asyncio.ensure_future(scheduler.submit(work(note, "here")))
            await asyncio.sleep(0)
            leaving.cancel()
            with pytest.raises(asyncio.CancelledError):
                await leaving
            assert closed.is_set()
            gate.opened.set()
            assert await staying == "here"
            await held

    asyncio.run(run())
    assert done == ["here"]


def test_one_bad_item_fails_alone() -> None:
    def invert(items: list[Any]) -> list[Any]:
        return [1 / item for item in items]

    divide = task(invert, batch=8)

    async def run() -> None:
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

    asyncio.run(run())


def test_a_stream_sees_the_error_where_it_stands() -> None:
    def fail(items: list[Any]) -> list[Any]:
        raise LookupError("no such thing")

    def steps() -> Steps[str]:
        try:
            yield [work(fail)]
        except LookupError as error:
            results = yield [work(same, f"saw {error}")]
            return str(results[0])
        return "saw nothing"

    def careless() -> Steps[None]:
        yield [work(same), work(fail)]

    async def run() -> None:
        async with running() as (scheduler, _):
            assert await scheduler.drive(steps()) == "saw no such thing"
            with pytest.raises(LookupError):
                await scheduler.drive(careless())

    asyncio.run(run())


@pytest.mark.parametrize("wrong", [StopIteration("x"), MemoryError("x")])
def test_no_error_of_an_item_leaves_its_stream_waiting(wrong: Exception) -> None:
    def fail(items: list[Any]) -> list[Any]:
        raise wrong

    async def run() -> None:
        async with running() as (scheduler, _):
            with pytest.raises((RuntimeError, MemoryError)):
                await asyncio.wait_for(scheduler.submit(work(fail)), 20)
            assert scheduler.healthy

    asyncio.run(run())


def test_too_few_results_are_an_error() -> None:
    async def run() -> None:
        async with running() as (scheduler, _):
            with pytest.raises(ValueError, match="not answered each"):
                await asyncio.wait_for(scheduler.submit(work(lambda items: [])), 20)

    asyncio.run(run())


def test_a_worker_that_dies_fails_everything_and_says_so() -> None:
    deaths: list[bool] = []

    def die(items: list[Any]) -> list[Any]:
        raise SystemExit(3)

    async def run() -> None:
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

    asyncio.run(run())


def test_stopping_fails_what_waits() -> None:
    async def run() -> None:
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

    asyncio.run(run())


def test_nothing_is_taken_before_the_start() -> None:
    scheduler = Scheduler(1, CPU, Seen())
    assert not scheduler.healthy
    with pytest.raises(SchedulerError):
        asyncio.run(scheduler.submit(work(same)))
