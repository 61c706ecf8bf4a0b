"""Batches for a device: full of whatever there is, and taken no sooner than they have to be."""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from model_core.codec import Work
from model_core.codec.work import FunctionTask
from service.inference.batch import Batch, Job, StreamKey
from service.inference.scheduler import Scheduler
from service.inference.worker_queue import DeviceQueue
from service.metrics import Metrics
from tests.service.inference.queueing import CUDA, Stepwise, running, same, task

pytestmark = pytest.mark.anyio

_Put = Callable[..., Job]


@pytest.fixture
def queue() -> DeviceQueue:
    return DeviceQueue(workers=2)


@pytest.fixture
def put(queue: DeviceQueue) -> Iterator[_Put]:
    """Hands in items of a stream, in order."""
    loop = asyncio.new_event_loop()

    def put(task: FunctionTask, *items: Any, stream: StreamKey | None = None) -> Job:
        works = [Work(task, item, 1.0) for item in items]
        job = Job(stream or StreamKey(), works, loop.create_future())
        queue.put(job)
        return job

    yield put
    loop.close()


def _rows(count: int) -> FunctionTask:
    return FunctionTask("encode", "m", count, lambda items, threads: items, CUDA)


def _do(queue: DeviceQueue) -> list[Any]:
    """Take a batch and do it; returns what was in it."""
    batch = queue.take()
    _end(queue, batch)
    return _items(batch)


def _end(queue: DeviceQueue, batch: Batch | None) -> None:
    assert batch is not None
    for part in batch.parts:
        part.job.results.extend(work.item for work in part.works)
    assert queue.done(batch, [part.job for part in batch.parts if part.job.left]) == []


def _items(batch: Batch | None) -> list[Any]:
    assert batch is not None
    return [work.item for part in batch.parts for work in part.works]


def test_a_lone_stream_fills_the_rows(queue: DeviceQueue, put: _Put) -> None:
    job = put(_rows(4), *range(10))
    assert queue.depth == 10
    assert [_do(queue) for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert job.results == list(range(10))
    assert queue.depth == 0


def test_streams_share_the_rows(queue: DeviceQueue, put: _Put) -> None:
    rows = _rows(4)
    put(rows, *(f"a{n}" for n in range(5)))
    put(rows, *(f"b{n}" for n in range(2)))
    assert _do(queue) == ["a0", "a1", "b0", "b1"]
    put(rows, "c0")
    assert sorted(_do(queue)) == ["a2", "a3", "a4", "c0"]


def test_more_streams_than_rows_have_one_each(queue: DeviceQueue, put: _Put) -> None:
    rows = _rows(3)
    for name in "abcd":
        put(rows, f"{name}0", f"{name}1")
    assert _do(queue) == ["a0", "b0", "c0"]
    assert sorted(_do(queue)) == ["a1", "b1", "d0"]


def test_a_newcomer_does_not_wait_for_a_long_file(queue: DeviceQueue, put: _Put) -> None:
    rows, long = _rows(4), StreamKey()
    for _ in range(3):
        put(rows, *["long"] * 8, stream=long)
        _do(queue)
        put(rows, "short")
        assert "short" in _do(queue)


def test_a_stream_is_in_one_batch_at_a_time(queue: DeviceQueue, put: _Put) -> None:
    rows = _rows(2)
    put(rows, *range(6))
    first = queue.take()
    put(rows, "other", "too")
    second = queue.take()  # at once, for it is full
    assert _items(second) == ["other", "too"]
    assert queue.depth == 0
    _end(queue, first)
    assert queue.depth == 4
    assert _do(queue) == [2, 3]  # the second runs, and this is full again


def test_what_was_put_back_into_a_closed_queue_is_said(queue: DeviceQueue, put: _Put) -> None:
    job = put(_rows(2), *range(6))
    batch = queue.take()
    assert batch is not None
    assert queue.close() == []
    assert queue.done(batch, [job]) == [job]
    assert queue.take() is None


@asynccontextmanager
async def _on_device(rows: int) -> AsyncIterator[tuple[Scheduler, Stepwise]]:
    """A queue whose device does a batch of so many rows when it is told to."""
    stepwise = Stepwise(rows)
    async with running(device=CUDA) as (scheduler, _):
        try:
            yield scheduler, stepwise
        finally:
            stepwise.go(1000)


async def test_an_idle_device_waits_for_no_batch_to_fill() -> None:
    async with _on_device(rows=8) as (scheduler, device):
        (work,) = device.works(1)
        done = asyncio.ensure_future(scheduler.submit(work))
        await device.begun()
        device.go()
        assert await done == 1
        assert device.batches == [[1]]


async def test_who_comes_while_a_batch_runs_is_in_the_next_one() -> None:
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


async def test_the_next_batch_is_taken_when_the_one_that_runs_is_about_to_end() -> None:
    """How long one takes is known from those before: here, next to nothing."""
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


async def test_results_in_order_come_when_all_are_done() -> None:
    async with _on_device(rows=4) as (scheduler, device):
        device.go(1000)
        works = device.works(*range(10))
        assert await scheduler.run(works, in_order=True) == list(range(10))
        assert device.batches == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]


async def test_an_error_withdraws_what_was_to_follow() -> None:
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
            await scheduler.run(works(1, 2, 4, 0, 5, 6), in_order=True)
        assert done == [1, 2]
        assert await scheduler.run(works(8), in_order=True) == [0.125]
        assert scheduler.depth == 0


async def test_a_client_that_leaves_withdraws_what_was_to_follow() -> None:
    async with _on_device(rows=2) as (scheduler, device):
        works = device.works(*range(6))
        leaving = asyncio.ensure_future(scheduler.run(works, in_order=True))
        await device.begun()
        leaving.cancel()
        with pytest.raises(asyncio.CancelledError):
            await leaving
        staying = asyncio.ensure_future(scheduler.submit(Work(device.task, "here", 1.0)))
        device.go(2)
        assert await staying == "here"
        assert device.batches == [[0, 1], ["here"]]


async def test_used_and_empty_rows_are_counted() -> None:
    metrics = Metrics()
    scheduler = Scheduler(1, CUDA, metrics)
    scheduler.start()
    on_device, on_cpu = task(same, batch=4, device=CUDA), task(same, batch=4)
    await scheduler.run([Work(on_device, n, 1.0) for n in range(6)], in_order=True)
    await scheduler.submit(Work(on_cpu, 0, 1.0))
    await scheduler.stop()
    for state, count in (("used", 6), ("empty", 2)):
        labels = {"task": "encode", "state": state}
        assert metrics.registry.get_sample_value("encodec_batch_rows_total", labels) == count


async def test_nothing_of_it_is_held_back_by_work_for_the_cpu() -> None:
    async with _on_device(rows=2) as (scheduler, device):
        (work,) = device.works("on the device")
        held = asyncio.ensure_future(scheduler.submit(work))
        await device.begun()
        assert await scheduler.submit(Work(task(same), "on the CPU", 1.0)) == "on the CPU"
        device.go()
        await held
