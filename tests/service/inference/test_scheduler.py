"""The scheduler with real threads: results, batches, and everything that can go wrong."""

import asyncio
import os
import sys
import threading
from typing import Any

import pytest
import torch

from model_core.codec import Work
from model_core.codec.work import CPU, Task
from service.inference.scheduler import WORKS_AT_ONCE, Scheduler, SchedulerError
from tests.service.inference.queueing import CUDA, Gate, Seen, running, same, task, work

pytestmark = pytest.mark.anyio


async def test_results_are_in_the_order_of_their_works() -> None:
    double = task(lambda items: [2 * item for item in items])
    async with running(threads=2) as (scheduler, seen):
        stream = scheduler.stream()
        first = await stream.run([Work(double, n, 1.0) for n in (1, 2, 3)])
        assert await stream.run([Work(double, n, 1.0) for n in first]) == [4, 8, 12]
        assert await stream.run([]) == await stream.run([], in_order=True) == []
        assert seen.audio == 6
        assert scheduler.depth == 0


async def test_works_of_a_client_that_has_left_are_dropped() -> None:
    done: list[Any] = []

    def note(items: list[Any]) -> list[Any]:
        done.extend(items)
        return items

    async with running() as (scheduler, _):
        gate = Gate()
        held = asyncio.ensure_future(scheduler.submit(gate.work))
        await gate.wait_until_entered()
        works = [work(note, "gone") for _ in range(3)]
        leaving = asyncio.ensure_future(scheduler.stream().run(works))
        staying = asyncio.ensure_future(scheduler.submit(work(note, "here")))
        await asyncio.sleep(0)
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        gate.opened.set()
        assert await staying == "here"
        await held
    assert done == ["here"]


@pytest.mark.skipif(sys.platform != "linux", reason="threads have a priority of their own on Linux")
async def test_batches_leave_the_processor_to_what_is_waited_for_and_live_steps_do_not() -> None:
    def priority(items: list[Any]) -> list[int]:
        return [os.getpriority(os.PRIO_PROCESS, threading.get_native_id()) for _ in items]

    here = os.getpriority(os.PRIO_PROCESS, 0)
    async with running() as (scheduler, _):
        assert await scheduler.submit(work(priority)) == min(here + 10, 19)
        assert await scheduler.live_stream().run([work(priority)]) == [here]
        assert os.getpriority(os.PRIO_PROCESS, 0) == here


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
        assert scheduler.refusal is None
        assert await scheduler.submit(Work(divide, 4, 1.0)) == 0.25


async def test_an_error_is_raised_in_its_stream_which_can_be_used_further() -> None:
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
async def test_any_exception_of_a_task_reaches_its_stream(wrong: Exception) -> None:
    def fail(items: list[Any]) -> list[Any]:
        raise wrong

    async with running() as (scheduler, _):
        with pytest.raises((RuntimeError, MemoryError)):
            await asyncio.wait_for(scheduler.submit(work(fail)), 20)
        assert scheduler.refusal is None


async def test_fewer_results_than_works_are_an_error() -> None:
    async with running() as (scheduler, _):
        with pytest.raises(ValueError, match="not answered each"):
            await asyncio.wait_for(scheduler.submit(work(lambda items: [])), 20)


async def test_a_worker_that_dies_fails_all_works_and_calls_on_death() -> None:
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
        assert scheduler.refusal is not None
        assert deaths == [True]
        with pytest.raises(SchedulerError):
            await scheduler.submit(work(same))


async def test_stopping_fails_the_works_that_wait() -> None:
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


async def test_works_are_refused_before_the_start() -> None:
    scheduler = Scheduler(1, CPU, Seen())
    assert scheduler.refusal is not None
    with pytest.raises(SchedulerError):
        await scheduler.submit(work(same))


async def test_one_stream_has_a_bounded_number_of_works_in_the_queue() -> None:
    async with running(threads=2) as (scheduler, seen):
        assert await scheduler.stream().run([work(same, n) for n in range(200)]) == list(range(200))
        assert max(seen.depths) <= WORKS_AT_ONCE


async def test_a_batch_is_what_waits_for_the_same_task() -> None:
    together = task(same, batch=4)
    other = task(same, batch=4)
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


async def test_an_idle_worker_takes_a_batch_that_is_not_full() -> None:
    async with running() as (scheduler, seen):
        assert await scheduler.submit(Work(task(same, batch=64), 7, 1.0)) == 7
        assert seen.batches == [1]


async def test_a_late_short_stream_does_not_wait_for_a_long_one() -> None:
    order: list[str] = []

    def note(items: list[Any]) -> list[Any]:
        order.extend(items)
        return items

    shared = task(note)

    def works(name: str, count: int) -> list[Work]:
        return [Work(shared, name, 1.0) for _ in range(count)]

    async with running() as (scheduler, _):
        gate = Gate()
        held = asyncio.ensure_future(scheduler.submit(gate.work))
        await gate.wait_until_entered()
        long = asyncio.ensure_future(scheduler.stream().run(works("long", 20)))
        await asyncio.sleep(0)
        short = asyncio.ensure_future(scheduler.stream().run(works("short", 2)))
        await asyncio.sleep(0)
        gate.opened.set()
        await asyncio.gather(held, long, short)
    assert order[:4] == ["long", "short", "long", "short"]
    assert order[4:] == ["long"] * 18


async def test_works_in_order_share_a_batch_when_alone_and_alternate_otherwise() -> None:
    batches: list[list[Any]] = []

    def note(items: list[Any]) -> list[Any]:
        batches.append(items)
        return [10 * item for item in items]

    noting = task(note, batch=2)

    def works(first: int) -> list[Work]:
        return [Work(noting, first + n, 1.0) for n in range(6)]

    async with running(threads=1) as (scheduler, _):
        async with asyncio.timeout(20):
            while [len(batch) for batch in batches] != [3, 3]:  # until the worker waits each time
                batches.clear()
                assert await scheduler.stream().run(works(0), in_order=True) == [
                    0,
                    10,
                    20,
                    30,
                    40,
                    50,
                ]
        gate = Gate()
        held = asyncio.create_task(scheduler.submit(gate.work))
        await gate.wait_until_entered()
        batches.clear()
        streams = [
            asyncio.create_task(scheduler.stream().run(works(n), in_order=True)) for n in (100, 200)
        ]
        await asyncio.sleep(0)
        assert scheduler.depth == 12  # both wait
        gate.opened.set()
        assert await streams[0] == [1000, 1010, 1020, 1030, 1040, 1050]
        assert await streams[1] == [2000, 2010, 2020, 2030, 2040, 2050]
        await held
        assert batches[0] == [100, 200]


async def test_a_task_gets_the_threads_of_idle_workers() -> None:
    told: list[int | None] = []

    def note(items: list[Any], threads: int | None) -> list[Any]:
        told.append(threads)
        return items

    async with running(threads=3) as (scheduler, _):
        gate = Gate()
        noting = Work(Task("encode", "encodec_24khz", 1, note), None, 1.0)
        async with asyncio.timeout(20):
            while told[-1:] != [3]:  # until all three wait
                await scheduler.submit(noting)
        held = asyncio.create_task(scheduler.submit(gate.work))
        await gate.wait_until_entered()
        async with asyncio.timeout(20):
            while told[-1] != 2:  # a worker that has just ended its work does not wait yet
                await scheduler.submit(noting)
        gate.opened.set()
        await held


async def test_each_worker_of_a_device_uses_one_torch_thread() -> None:
    async with running(threads=2, device=CUDA) as (scheduler, _):
        threads = task(lambda items: [torch.get_num_threads() for _ in items], device=CUDA)
        assert await scheduler.submit(Work(threads, None, 1.0)) == 1


async def test_steps_of_live_streams_do_not_wait_for_other_requests() -> None:
    async with running(threads=1) as (scheduler, _):
        gate = Gate()
        held = asyncio.ensure_future(scheduler.submit(gate.work))
        await gate.wait_until_entered()
        step = Work(Task("encode", "model", 9, lambda items, _: items), "step", 0.01)
        assert await asyncio.wait_for(scheduler.live_stream().run([step], in_order=True), 20)
        # What a language model codes is no step.
        chunk = Work(Task("lm_encode", "model", 9, lambda items, _: items), "chunk", 1.0)
        coding = asyncio.ensure_future(scheduler.live_stream().run([chunk]))
        await asyncio.sleep(0.1)
        assert not coding.done()
        gate.opened.set()
        assert await coding == ["chunk"]
        await held


async def test_steps_that_wait_together_are_one_batch() -> None:
    batches: list[list[Any]] = []
    gate = Gate()

    def run(items: list[Any], threads: int | None) -> list[Any]:
        batches.append(items)
        if items == [0]:
            gate.entered.set()
            assert gate.opened.wait(20)
        assert threads == 1
        return items

    live = Task("encode", "model", 9, run)
    async with running(threads=1) as (scheduler, _):
        streams = [scheduler.live_stream() for _ in range(5)]
        first = asyncio.ensure_future(streams[0].run([Work(live, 0, 0.01)]))
        await gate.wait_until_entered()
        others = [
            asyncio.ensure_future(stream.run([Work(live, number, 0.01)]))
            for number, stream in enumerate(streams[1:], 1)
        ]
        await asyncio.sleep(0.05)
        gate.opened.set()
        assert await asyncio.gather(first, *others) == [[0], [1], [2], [3], [4]]
    assert batches == [[0], [1, 2, 3, 4]]
