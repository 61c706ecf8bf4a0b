"""What a worker takes from the queue: how much of it on a CPU, and when on a device."""

import asyncio
import math
import threading
from collections.abc import Callable, Iterator
from queue import SimpleQueue
from typing import Any

import pytest

from model_core.codec.work import Task, Work
from service.inference.fair_queue import Job, StreamKey
from service.inference.worker_queue import DeviceQueue, WorkerQueue
from tests.service.inference.queueing import CUDA
from tests.service.live import wait_for

_Put = Callable[..., Job]


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


@pytest.fixture
def put(loop: asyncio.AbstractEventLoop) -> _Put:
    """Puts items of one stream into a queue, as a job; each is a second of audio."""

    def put(queue: WorkerQueue, task: Task, *items: Any, stream: StreamKey | None = None) -> Job:
        works = [Work(task, item, 1.0) for item in items]
        job = Job(stream or StreamKey(), works, loop.create_future())
        queue.put(job)
        return job

    return put


@pytest.fixture
def put_streams(loop: asyncio.AbstractEventLoop) -> Callable[..., None]:
    """Puts a work of each of these costs into a queue, numbered, each of a stream of its own."""

    def put_streams(queue: WorkerQueue, task: Task, *costs: float) -> None:
        for number, cost in enumerate(costs):
            queue.put(Job(StreamKey(), [Work(task, number, cost)], loop.create_future()))

    return put_streams


def _task(most: int) -> Task:
    return Task("encode", "m", most, lambda items, threads: items)


def _rows(count: int) -> Task:
    """A task whose batches have so many rows on a device."""
    return Task("encode", "m", count, lambda items, threads: items, CUDA)


def _run(queue: DeviceQueue) -> list[Any]:
    """Take a batch and run it; returns its items."""
    batch = queue.take()
    _end(queue, batch)
    return _items(batch)


def _end(queue: DeviceQueue, batch: list[Job]) -> None:
    assert batch
    for job in batch:
        job.results.extend(work.item for work in job.part)
    assert queue.done(batch, [job for job in batch if job.left]) == []


def _items(batch: list[Job]) -> list[Any]:
    assert batch
    return [work.item for job in batch for work in job.part]


def test_cpu_workers_share_the_streams_that_wait(put_streams: _Put) -> None:
    queue = WorkerQueue(workers=2)
    put_streams(queue, _task(8), *[1.0] * 5)
    assert [_items(queue.take()) for _ in range(3)] == [[0, 1, 2], [3], [4]]


def test_a_lone_cpu_worker_takes_as_much_as_the_task_does(put_streams: _Put) -> None:
    queue = WorkerQueue(workers=1)
    put_streams(queue, _task(3), *[1.0] * 5)
    assert [_items(queue.take()) for _ in range(2)] == [[0, 1, 2], [3, 4]]


def test_a_cpu_batch_is_bounded_by_its_audio(put_streams: _Put) -> None:
    queue = WorkerQueue(workers=1, batch_seconds=4)
    put_streams(queue, _task(8), 1.0, 2.5, 1.0, 9.0, 0.5)
    assert [_items(queue.take()) for _ in range(3)] == [[4, 0, 2], [1], [3]]
    assert queue.depth == 0


def test_without_a_bound_of_audio_the_task_alone_bounds_a_batch(put_streams: _Put) -> None:
    queue = WorkerQueue(workers=1, batch_seconds=math.inf)
    put_streams(queue, _task(4), *[1000.0] * 4)
    assert len(_items(queue.take())) == 4


def test_workers_that_have_nothing_to_take_are_spare(put_streams: _Put) -> None:
    queue = WorkerQueue(workers=3)
    taken: SimpleQueue[list[int]] = SimpleQueue()
    others = [
        threading.Thread(target=lambda: taken.put(_items(queue.take())), daemon=True)
        for _ in range(2)
    ]
    for thread in others:
        thread.start()
    wait_for(lambda: queue.spare() == 2)
    put_streams(queue, _task(8), 1.0)
    assert taken.get(timeout=10) == [0]
    assert queue.spare() == 1
    put_streams(queue, _task(8), 1.0)
    assert taken.get(timeout=10) == [0]
    assert queue.spare() == 0
    put_streams(queue, _task(8), 1.0, 1.0)
    assert len(_items(queue.take())) == 1
    assert queue.spare() == 0  # nobody waits, and there is something to take


def test_device_workers_do_not_divide_what_waits(put_streams: _Put) -> None:
    queue = DeviceQueue(workers=2)
    put_streams(queue, _task(3), *[1.0] * 5)
    first = queue.take()
    queue.done(first, [])
    assert [_items(first), _items(queue.take())] == [[0, 1, 2], [3, 4]]


def test_a_lone_stream_fills_the_rows_of_a_device(put: _Put) -> None:
    queue = DeviceQueue(workers=2)
    job = put(queue, _rows(4), *range(10))
    assert queue.depth == 10
    assert [_run(queue) for _ in range(3)] == [[0, 1, 2, 3], [4, 5, 6, 7], [8, 9]]
    assert job.results == list(range(10))
    assert queue.depth == 0


def test_streams_share_the_rows(put: _Put) -> None:
    queue = DeviceQueue(workers=2)
    rows = _rows(4)
    put(queue, rows, *(f"a{n}" for n in range(5)))
    put(queue, rows, *(f"b{n}" for n in range(2)))
    assert _run(queue) == ["a0", "a1", "b0", "b1"]
    put(queue, rows, "c0")
    assert sorted(_run(queue)) == ["a2", "a3", "a4", "c0"]


def test_more_streams_than_rows_get_one_row_each(put: _Put) -> None:
    queue = DeviceQueue(workers=2)
    rows = _rows(3)
    for name in "abcd":
        put(queue, rows, f"{name}0", f"{name}1")
    assert _run(queue) == ["a0", "b0", "c0"]
    assert sorted(_run(queue)) == ["a1", "b1", "d0"]


def test_a_new_stream_is_in_the_next_batch_beside_a_long_one(put: _Put) -> None:
    queue = DeviceQueue(workers=2)
    rows, long = _rows(4), StreamKey()
    for _ in range(3):
        put(queue, rows, *["long"] * 8, stream=long)
        _run(queue)
        put(queue, rows, "short")
        assert "short" in _run(queue)


def test_a_stream_is_in_one_batch_at_a_time(put: _Put) -> None:
    queue = DeviceQueue(workers=2)
    rows = _rows(2)
    put(queue, rows, *range(6))
    first = queue.take()
    put(queue, rows, "other", "too")
    second = queue.take()  # at once, for it is full
    assert _items(second) == ["other", "too"]
    assert queue.depth == 0
    _end(queue, first)
    assert queue.depth == 4
    assert _run(queue) == [2, 3]  # the second runs, and this is full again


def test_unfinished_jobs_of_a_closed_queue_are_returned(put: _Put) -> None:
    queue = DeviceQueue(workers=2)
    job = put(queue, _rows(2), *range(6))
    batch = queue.take()
    assert queue.close() == []
    assert queue.done(batch, [job]) == [job]
    assert queue.take() == []
