"""The waiting line: how much of it a worker takes at once."""

import asyncio
import math
import queue
import threading
from typing import Any

import pytest

from model_core.codec.work import FunctionTask, Work
from service.lane import Job, Lane, Turn


def _task(most: int) -> FunctionTask:
    return FunctionTask("encode", "m", most, lambda items, threads: items)


@pytest.fixture
def put() -> Any:
    """Hands in jobs of a cost, each of another stream."""
    loop = asyncio.new_event_loop()

    def put(lane: Lane, task: FunctionTask, *costs: float) -> None:
        for number, cost in enumerate(costs):
            lane.put(Job(Work(task, number, cost), loop.create_future()), Turn())

    yield put
    loop.close()


def _items(batch: list[Job]) -> list[int]:
    return [job.work.item for job in batch]


def test_workers_share_what_waits(put: Any) -> None:
    lane = Lane(threads=2)
    put(lane, _task(8), *[1.0] * 5)
    assert [_items(lane.take()) for _ in range(3)] == [[0, 1, 2], [3], [4]]


def test_one_worker_takes_all_that_fits(put: Any) -> None:
    lane = Lane(threads=1)
    put(lane, _task(3), *[1.0] * 5)
    assert [_items(lane.take()) for _ in range(2)] == [[0, 1, 2], [3, 4]]


def test_workers_that_do_not_divide_take_all_that_fits(put: Any) -> None:
    lane = Lane(threads=2, divide=False)
    put(lane, _task(3), *[1.0] * 5)
    assert [_items(lane.take()) for _ in range(2)] == [[0, 1, 2], [3, 4]]


def test_workers_without_work_are_spare(put: Any) -> None:
    lane = Lane(threads=3)
    taken: queue.SimpleQueue[list[int]] = queue.SimpleQueue()
    others = [
        threading.Thread(target=lambda: taken.put(_items(lane.take())), daemon=True)
        for _ in range(2)
    ]
    for thread in others:
        thread.start()
    while lane.spare() < 2:  # both wait now
        pass
    put(lane, _task(8), 1.0)
    assert taken.get(timeout=10) == [0]
    assert lane.spare() == 1
    put(lane, _task(8), 1.0)
    assert taken.get(timeout=10) == [0]
    assert lane.spare() == 0
    put(lane, _task(8), 1.0, 1.0)
    assert len(lane.take()) == 1
    assert lane.spare() == 0  # nobody waits, and there is something to take


def test_a_batch_is_bounded_by_its_audio(put: Any) -> None:
    lane = Lane(threads=1, batch_seconds=4)
    put(lane, _task(8), 1.0, 2.5, 1.0, 9.0, 0.5)
    assert [_items(lane.take()) for _ in range(4)] == [[0, 1], [2], [3], [4]]
    assert lane.depth == 0


def test_without_a_bound_the_task_alone_decides(put: Any) -> None:
    lane = Lane(threads=1, batch_seconds=math.inf)
    put(lane, _task(4), *[1000.0] * 4)
    assert len(lane.take()) == 4
