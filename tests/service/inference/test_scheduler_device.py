"""The scheduler with a device: when its batches are taken, and what ends them early."""

import asyncio
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from model_core.codec import Work
from service.inference.scheduler import Scheduler
from tests.service.inference.queueing import CUDA, Stepwise, running, same, task

pytestmark = pytest.mark.anyio


@asynccontextmanager
async def _on_device(rows: int) -> AsyncIterator[tuple[Scheduler, Stepwise]]:
    """A queue whose device runs a batch of so many rows when it is told to."""
    stepwise = Stepwise(rows)
    async with running(device=CUDA) as (scheduler, _):
        try:
            yield scheduler, stepwise
        finally:
            stepwise.go(1000)


async def test_an_idle_device_takes_a_batch_that_is_not_full() -> None:
    async with _on_device(rows=8) as (scheduler, device):
        (work,) = device.works(1)
        done = asyncio.ensure_future(scheduler.submit(work))
        await device.begun()
        device.go()
        assert await done == 1
        assert device.batches == [[1]]


async def test_works_that_arrive_while_a_batch_runs_share_the_next_one() -> None:
    async with _on_device(rows=8) as (scheduler, device):
        first, *others = device.works("first", "second", "third", "fourth")
        done = [asyncio.ensure_future(scheduler.submit(first))]
        await device.begun()
        for work in others:  # one after another, not all at once
            done.append(asyncio.ensure_future(scheduler.submit(work)))
            await asyncio.sleep(0.005)
        assert scheduler.depth == 3
        assert device.batches == [["first"]]
        device.go()
        await device.begun()
        device.go()
        assert await asyncio.gather(*done) == ["first", "second", "third", "fourth"]
        assert device.batches == [["first"], ["second", "third", "fourth"]]


async def test_a_full_batch_is_taken_while_another_runs() -> None:
    async with _on_device(rows=2) as (scheduler, device):
        first, *others = device.works(1, 2, 3)
        done = [asyncio.ensure_future(scheduler.submit(first))]
        await device.begun()
        done += [asyncio.ensure_future(scheduler.submit(work)) for work in others]
        await device.begun()  # although the first is not done
        assert device.batches == [[1], [2, 3]]
        device.go(2)
        assert await asyncio.gather(*done) == [1, 2, 3]


async def test_the_next_batch_is_taken_when_the_running_one_is_about_to_end() -> None:
    """The time of a batch is estimated from those before: here, next to nothing."""
    async with _on_device(rows=8) as (scheduler, device):
        before, held, next_one = device.works("before", "held", "next")
        device.go()
        await scheduler.submit(before)
        await device.begun()
        done = [asyncio.ensure_future(scheduler.submit(held))]
        await device.begun()
        done.append(asyncio.ensure_future(scheduler.submit(next_one)))
        await device.begun()  # although the other one is not done
        device.go(2)
        assert await asyncio.gather(*done) == ["held", "next"]
        assert device.batches == [["before"], ["held"], ["next"]]


async def test_works_in_order_fill_batches_and_give_their_results_at_the_end() -> None:
    async with _on_device(rows=4) as (scheduler, device):
        device.go(1000)
        works = device.works(*range(10))
        assert await scheduler.stream().run(works, in_order=True) == list(range(10))
        assert device.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_an_error_withdraws_the_works_that_follow_in_order() -> None:
    done: list[Any] = []

    def invert(items: list[Any]) -> list[Any]:
        results = [1 / item for item in items]
        done.extend(items)
        return results

    inverting = task(invert, batch=2, device=CUDA)

    def works(*items: int) -> list[Work]:
        return [Work(inverting, item, 1.0) for item in items]

    async with running(device=CUDA) as (scheduler, _):
        with pytest.raises(ZeroDivisionError):
            await scheduler.stream().run(works(1, 2, 4, 0, 5, 6), in_order=True)
        assert done == [1, 2]
        assert await scheduler.stream().run(works(8), in_order=True) == [0.125]
        assert scheduler.depth == 0


async def test_a_client_that_leaves_withdraws_its_works_that_do_not_run_yet() -> None:
    async with _on_device(rows=2) as (scheduler, device):
        works = device.works(*range(6))
        leaving = asyncio.ensure_future(scheduler.stream().run(works, in_order=True))
        await device.begun()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        staying = asyncio.ensure_future(scheduler.submit(Work(device.task, "here", 1.0)))
        device.go(2)
        assert await staying == "here"
        assert device.batches == [[0, 1], ["here"]]


async def test_work_for_the_cpu_does_not_wait_for_the_device() -> None:
    async with _on_device(rows=2) as (scheduler, device):
        (work,) = device.works("on the device")
        held = asyncio.ensure_future(scheduler.submit(work))
        await device.begun()
        assert await scheduler.submit(Work(task(same), "on the CPU", 1.0)) == "on the CPU"
        device.go()
        await held


async def test_language_models_run_on_cpu_workers_beside_the_device() -> None:
    def where(items: list[Any]) -> list[Any]:
        return [threading.current_thread().name for _ in items]

    async with running(threads=2, device=CUDA) as (scheduler, _):
        lm = task(where, name="lm_encode")
        net = task(where, batch=4, name="encode", device=CUDA)
        assert (await scheduler.submit(Work(lm, None, 1.0))).startswith("cpu-")
        assert (await scheduler.submit(Work(net, None, 1.0))).startswith("device-")
