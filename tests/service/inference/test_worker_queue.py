"""The waiting line: how much of it a worker takes at once."""

import asyncio
import math
import threading
from queue import SimpleQueue
from typing import Any

import pytest

from model_core.codec.work import FunctionTask, Work
from service.inference.batch import Batch, Job, StreamKey
from service.inference.worker_queue import CpuQueue, DeviceQueue, WorkerQueue


def _task(most: int) -> FunctionTask:
    return FunctionTask("encode", "m", most, lambda items, threads: items)


@pytest.fixture
def put() -> Any:
    """Hands in jobs of a cost, each of another stream unless it is given."""
    loop = asyncio.new_event_loop()

    def put(
        queue: WorkerQueue,
        task: FunctionTask,
        *costs: float,
        stream: StreamKey | None = None,
        item: Any = None,
    ) -> None:
        for number, cost in enumerate(costs):
            work = Work(task, number if item is None else item, cost)
            queue.put(Job(stream or StreamKey(), [work], loop.create_future()))

    yield put
    loop.close()


def _items(batch: Batch | None) -> list[Any]:
    assert batch is not None
    return [work.item for part in batch.parts for work in part.works]


def test_workers_share_what_waits(put: Any) -> None:
    queue = CpuQueue(workers=2)
    put(queue, _task(8), *[1.0] * 5)
    assert [_items(queue.take()) for _ in range(3)] == [[0, 1, 2], [3], [4]]


def test_one_worker_takes_all_that_fits(put: Any) -> None:
    queue = CpuQueue(workers=1)
    put(queue, _task(3), *[1.0] * 5)
    assert [_items(queue.take()) for _ in range(2)] == [[0, 1, 2], [3, 4]]


def test_workers_that_do_not_divide_take_all_that_fits(put: Any) -> None:
    queue = DeviceQueue(workers=2)
    put(queue, _task(3), *[1.0] * 5)
    first = queue.take()
    assert first is not None
    queue.done(first, [])
    assert [_items(first), _items(queue.take())] == [[0, 1, 2], [3, 4]]


def test_workers_without_work_are_spare(put: Any) -> None:
    queue = CpuQueue(workers=3)
    taken: SimpleQueue[list[int]] = SimpleQueue()
    others = [
        threading.Thread(target=lambda: taken.put(_items(queue.take())), daemon=True)
        for _ in range(2)
    ]
    for thread in others:
        thread.start()
    while queue.spare() < 2:  # both wait now
        pass
    put(queue, _task(8), 1.0)
    assert taken.get(timeout=10) == [0]
    assert queue.spare() == 1
    put(queue, _task(8), 1.0)
    assert taken.get(timeout=10) == [0]
    assert queue.spare() == 0
    put(queue, _task(8), 1.0, 1.0)
    assert len(_items(queue.take())) == 1
    assert queue.spare() == 0  # nobody waits, and there is something to take


def test_a_newcomer_goes_before_streams_that_have_had_their_share(put: Any) -> None:
    """However their works come: all at once, or each when the one before is done."""
    queue, task = CpuQueue(workers=1), _task(1)
    streams = {name: StreamKey() for name in "abcde"}
    for name, stream in streams.items():
        put(queue, task, 4.0, stream=stream, item=name)
    for _ in range(23):  # somewhere in the middle
        name = _items(queue.take())[0]
        put(queue, task, 4.0, stream=streams[str(name)], item=name)
    put(queue, task, 1.0, item="newcomer")
    assert "newcomer" in [_items(queue.take())[0] for _ in range(2)]


def test_newcomers_keep_no_stream_waiting_for_ever(put: Any) -> None:
    queue, task, long = CpuQueue(workers=1), _task(1), StreamKey()
    put(queue, task, 4.0, stream=long, item="long")
    put(queue, task, *[1.0] * 9, item="short")
    taken = []
    for _ in range(400):
        name = _items(queue.take())[0]
        taken.append(name)
        if name == "long":
            put(queue, task, 4.0, stream=long, item="long")
        else:
            put(queue, task, 1.0, item="short")
    seconds = 4 * taken.count("long") / (4 * taken.count("long") + taken.count("short"))
    assert 0.05 < seconds < 0.2  # one of about ten


def test_a_batch_is_bounded_by_its_audio(put: Any) -> None:
    queue = CpuQueue(workers=1, batch_seconds=4)
    put(queue, _task(8), 1.0, 2.5, 1.0, 9.0, 0.5)
    assert [_items(queue.take()) for _ in range(3)] == [[4, 0, 2], [1], [3]]
    assert queue.depth == 0


def test_without_a_bound_the_task_alone_decides(put: Any) -> None:
    queue = CpuQueue(workers=1, batch_seconds=math.inf)
    put(queue, _task(4), *[1000.0] * 4)
    assert len(_items(queue.take())) == 4
