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
    """Hands in jobs of a cost, each of another stream unless its turn is given."""
    loop = asyncio.new_event_loop()

    def put(
        lane: Lane, task: FunctionTask, *costs: float, turn: Turn | None = None, item: Any = None
    ) -> None:
        for number, cost in enumerate(costs):
            work = Work(task, number if item is None else item, cost)
            lane.put(Job([work], loop.create_future()), turn or Turn())

    yield put
    loop.close()


def _items(batch: list[Job]) -> list[Any]:
    return [work.item for job in batch for work in job.works]


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


def test_a_newcomer_goes_before_streams_that_have_had_their_share(put: Any) -> None:
    """However their works come: all at once, or each when the one before is done."""
    lane, task = Lane(threads=1), _task(1)
    streams = {name: Turn() for name in "abcde"}
    for name, turn in streams.items():
        put(lane, task, 4.0, turn=turn, item=name)
    for _ in range(23):  # somewhere in the middle
        name = _items(lane.take())[0]
        put(lane, task, 4.0, turn=streams[name], item=name)
    put(lane, task, 1.0, item="newcomer")
    assert "newcomer" in [_items(lane.take())[0] for _ in range(2)]


def test_newcomers_keep_no_stream_waiting_for_ever(put: Any) -> None:
    lane, task, long = Lane(threads=1), _task(1), Turn()
    put(lane, task, 4.0, turn=long, item="long")
    put(lane, task, *[1.0] * 9, item="short")
    taken = []
    for _ in range(400):
        name = _items(lane.take())[0]
        taken.append(name)
        if name == "long":
            put(lane, task, 4.0, turn=long, item="long")
        else:
            put(lane, task, 1.0, item="short")
    seconds = 4 * taken.count("long") / (4 * taken.count("long") + taken.count("short"))
    assert 0.05 < seconds < 0.2  # one of about ten


def test_a_batch_is_bounded_by_its_audio(put: Any) -> None:
    lane = Lane(threads=1, batch_seconds=4)
    put(lane, _task(8), 1.0, 2.5, 1.0, 9.0, 0.5)
    assert [_items(lane.take()) for _ in range(3)] == [[4, 0, 2], [1], [3]]
    assert lane.depth == 0


def test_without_a_bound_the_task_alone_decides(put: Any) -> None:
    lane = Lane(threads=1, batch_seconds=math.inf)
    put(lane, _task(4), *[1000.0] * 4)
    assert len(lane.take()) == 4
