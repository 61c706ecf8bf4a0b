"""How streams share the queue, with real threads: batches, fairness, threads and devices."""

import asyncio
import threading
from typing import Any

import torch

from model_core.codec import Work
from model_core.codec.work import FunctionTask
from tests.service.inference.queueing import CUDA, Gate, running, same, task, work


def test_more_works_at_once_than_are_queued_at_once() -> None:
    async def run() -> None:
        async with running(threads=2) as (scheduler, seen):
            assert await scheduler.run([work(same, n) for n in range(200)]) == list(range(200))
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

    def works(name: str, count: int) -> list[Work]:
        return [Work(shared, name, 1.0) for _ in range(count)]

    async def run() -> None:
        async with running() as (scheduler, _):
            gate = Gate()
            held = asyncio.ensure_future(scheduler.submit(gate.work))
            await gate.wait_until_entered()
            long = asyncio.ensure_future(scheduler.run(works("long", 20)))
            await asyncio.sleep(0)
            short = asyncio.ensure_future(scheduler.run(works("short", 2)))
            await asyncio.sleep(0)
            gate.opened.set()
            await asyncio.gather(held, long, short)

    asyncio.run(run())
    assert order[:4] == ["long", "short", "long", "short"]
    assert order[4:] == ["long"] * 18


def test_work_in_order_runs_at_once_where_nobody_waits_and_step_by_step_elsewhere() -> None:
    batches: list[list[Any]] = []

    def note(items: list[Any]) -> list[Any]:
        batches.append(items)
        return [10 * item for item in items]

    noting = task(note, batch=2)

    def works(first: int) -> list[Work]:
        return [Work(noting, first + n, 1.0) for n in range(6)]

    async def run() -> None:
        async with running(threads=1) as (scheduler, _):
            while [len(batch) for batch in batches] != [3, 3]:  # until the worker waits each time
                batches.clear()
                assert await scheduler.run(works(0), in_order=True) == [0, 10, 20, 30, 40, 50]
            gate = Gate()
            held = asyncio.create_task(scheduler.submit(gate.work))
            await gate.wait_until_entered()
            batches.clear()
            streams = [
                asyncio.create_task(scheduler.run(works(n), in_order=True)) for n in (100, 200)
            ]
            await asyncio.sleep(0.05)  # both have come to wait
            gate.opened.set()
            assert await streams[0] == [1000, 1010, 1020, 1030, 1040, 1050]
            assert await streams[1] == [2000, 2010, 2020, 2030, 2040, 2050]
            await held
            assert batches[0] == [100, 200]

    asyncio.run(run())


def test_language_models_do_not_hold_up_the_device() -> None:
    def where(items: list[Any]) -> list[Any]:
        return [threading.current_thread().name for _ in items]

    async def run() -> None:
        async with running(threads=2, device=CUDA) as (scheduler, _):
            lm = task(where, name="lm_encode")
            net = task(where, batch=4, name="encode", device=CUDA)
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


def test_each_worker_of_a_device_uses_one_torch_thread() -> None:
    async def run() -> None:
        async with running(threads=2, device=CUDA) as (scheduler, _):
            threads = task(lambda items: [torch.get_num_threads() for _ in items], device=CUDA)
            assert await scheduler.submit(Work(threads, None, 1.0)) == 1

    asyncio.run(run())
