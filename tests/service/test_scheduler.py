"""The queue, with real threads: order, batches, fairness, and everything that can go wrong."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

import pytest
import torch

from model_core.codec import Steps, Task, Work
from model_core.codec.work import FunctionTask, Sequel
from service.scheduler import Scheduler, SchedulerError


class Seen:
    """What the queue told its observer."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.audio = 0.0
        self.depths: list[int] = []

    def queue_depth(self, depth: int) -> None:
        self.depths.append(depth)

    def batch_started(self, task: Task, waited: list[float]) -> None:
        self.batches.append(len(waited))

    def batch_done(self, task: Task, audio: float, seconds: float) -> None:
        self.audio += audio


class Gate:
    """Work that holds its worker until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.work = work(self._hold)

    def _hold(self, items: list[Any]) -> list[Any]:
        self.entered.set()
        assert self.opened.wait(20)
        return items

    async def wait_until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 20)


def task(function: Callable[[list[Any]], list[Any]], batch: int = 1, name: str = "encode") -> Task:
    return FunctionTask(name, "encodec_24khz", batch, lambda items, threads: function(items))


def work(function: Callable[[list[Any]], list[Any]], item: Any = None, cost: float = 1.0) -> Work:
    return Work(task(function), item, cost)


def same(items: list[Any]) -> list[Any]:
    return items


@contextlib.asynccontextmanager
async def running(
    threads: int = 1, cuda: bool = False, on_death: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[Scheduler, Seen]]:
    seen = Seen()
    scheduler = Scheduler(threads, cuda, seen, on_death)
    scheduler.start()
    try:
        yield scheduler, seen
    finally:
        await scheduler.stop()


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


def test_more_works_at_once_than_are_queued_at_once() -> None:
    def steps() -> Steps[list[Any]]:
        return (yield [work(same, n) for n in range(200)])

    async def run() -> None:
        async with running(threads=2) as (scheduler, seen):
            assert await scheduler.drive(steps()) == list(range(200))
            assert max(seen.depths) <= 64

    asyncio.run(run())


def test_a_batch_is_what_waits_for_the_same_task() -> None:
    together = task(same, batch=4)
    other = task(same, batch=4)

    async def run() -> None:
        async with running() as (scheduler, seen):
            gate = Gate()
            held = asyncio.ensure_future(scheduler.submit(gate.work))
            await gate.wait_until_entered()
            waiting = [scheduler.submit(Work(together, n, 0.5)) for n in range(6)]
            waiting += [scheduler.submit(Work(other, n, 0.5)) for n in range(2)]
            results = asyncio.gather(*waiting)
            await asyncio.sleep(0)
            assert scheduler.depth == 8
            gate.opened.set()
            assert await results == [0, 1, 2, 3, 4, 5, 0, 1]
            await held
            assert seen.batches[0] == 1
            assert sorted(seen.batches[1:]) == [2, 2, 4]

    asyncio.run(run())


def test_an_idle_worker_waits_for_no_batch_to_fill() -> None:
    async def run() -> None:
        async with running() as (scheduler, seen):
            assert await scheduler.submit(Work(task(same, batch=64), 7, 1.0)) == 7
            assert seen.batches == [1]

    asyncio.run(run())


def test_a_late_short_stream_does_not_wait_for_a_long_one() -> None:
    order: list[str] = []

    def note(items: list[Any]) -> list[Any]:
        order.extend(items)
        return items

    shared = task(note)

    def steps(name: str, count: int) -> Steps[None]:
        yield [Work(shared, name, 1.0) for _ in range(count)]

    async def run() -> None:
        async with running() as (scheduler, _):
            gate = Gate()
            held = asyncio.ensure_future(scheduler.submit(gate.work))
            await gate.wait_until_entered()
            long = asyncio.ensure_future(scheduler.drive(steps("long", 20)))
            await asyncio.sleep(0)
            short = asyncio.ensure_future(scheduler.drive(steps("short", 2)))
            await asyncio.sleep(0)
            gate.opened.set()
            await asyncio.gather(held, long, short)

    asyncio.run(run())
    assert order[:4] == ["long", "short", "long", "short"]
    assert order[4:] == ["long"] * 18


def test_a_sequel_runs_at_once_where_nobody_waits_and_step_by_step_elsewhere() -> None:
    batches: list[list[Any]] = []

    def note(items: list[Any]) -> list[Any]:
        batches.append(items)
        return [10 * item for item in items]

    noting = task(note, batch=2)

    def steps(first: int) -> Steps[list[Any]]:
        return (yield Sequel(Work(noting, first + n, 1.0) for n in range(6)))

    async def run() -> None:
        async with running(threads=1) as (scheduler, _):
            while [len(batch) for batch in batches] != [3, 3]:  # until the worker waits each time
                batches.clear()
                assert await scheduler.drive(steps(0)) == [0, 10, 20, 30, 40, 50]
            gate = Gate()
            held = asyncio.create_task(scheduler.submit(gate.work))
            await gate.wait_until_entered()
            batches.clear()
            streams = [asyncio.create_task(scheduler.drive(steps(n))) for n in (100, 200)]
            await asyncio.sleep(0.05)  # both have come to wait
            gate.opened.set()
            assert await streams[0] == [1000, 1010, 1020, 1030, 1040, 1050]
            assert await streams[1] == [2000, 2010, 2020, 2030, 2040, 2050]
            await held
            assert batches[0] == [100, 200]

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


def test_language_models_do_not_hold_up_the_device() -> None:
    def where(items: list[Any]) -> list[Any]:
        return [threading.current_thread().name for _ in items]

    async def run() -> None:
        async with running(threads=2, cuda=True) as (scheduler, _):
            lm, net = task(where, name="lm_encode"), task(where, batch=4, name="encode")
            assert (await scheduler.submit(Work(lm, None, 1.0))).startswith("cpu-")
            assert (await scheduler.submit(Work(net, None, 1.0))).startswith("device-")

    asyncio.run(run())


def test_work_gets_the_threads_of_idle_workers() -> None:
    told: list[int | None] = []

    def note(items: list[Any], threads: int | None) -> list[Any]:
        told.append(threads)
        return items

    async def run() -> None:
        async with running(threads=3) as (scheduler, _):
            gate = Gate()
            noting = Work(FunctionTask("encode", "encodec_24khz", 1, note), None, 1.0)
            while told[-1:] != [3]:  # until all three have come to wait
                await scheduler.submit(noting)
            held = asyncio.create_task(scheduler.submit(gate.work))
            await gate.wait_until_entered()
            while told[-1] != 2:  # a worker that has just ended its work is not there yet
                await scheduler.submit(noting)
            gate.opened.set()
            await held

    asyncio.run(run())


def test_each_worker_uses_one_torch_thread() -> None:
    async def run() -> None:
        async with running(threads=2) as (scheduler, _):
            threads = work(lambda items: [torch.get_num_threads() for _ in items])
            assert await scheduler.submit(threads) == 1

    asyncio.run(run())


def test_nothing_is_taken_before_the_start() -> None:
    scheduler = Scheduler(1, False, Seen())
    assert not scheduler.healthy
    with pytest.raises(SchedulerError):
        asyncio.run(scheduler.submit(work(same)))
