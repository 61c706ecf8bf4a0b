"""The order of works: by their end on a clock of audio-seconds, so that streams share it fairly."""

import asyncio
from collections import Counter
from collections.abc import Iterator
from typing import Any

import pytest

from model_core.codec.work import Task, Work
from service.inference.fair_queue import FairQueue, Job, Owner, StreamKey


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    made = asyncio.new_event_loop()
    yield made
    made.close()


class Waiting:
    """A queue, and short ways to put works in and take them."""

    def __init__(self, loop: asyncio.AbstractEventLoop):
        self.fair = FairQueue()
        self.task = named_task("encode")
        self._loop = loop

    def put(
        self,
        *items: Any,
        cost: float = 1.0,
        stream: StreamKey | None = None,
        task: Task | None = None,
    ) -> Job:
        """A job of one stream, with a work of `cost` seconds for each item."""
        works = [Work(task or self.task, item, cost) for item in items]
        job = Job(stream or StreamKey(), works, self._loop.create_future())
        self.fair.put(job)
        return job

    def next_one(self) -> Any:
        """The item of the next work."""
        (item,) = items_of(self.fair.take(1, 1e9, one_each=True))
        return item


@pytest.fixture
def waiting(loop: asyncio.AbstractEventLoop) -> Waiting:
    return Waiting(loop)


def named_task(name: str) -> Task:
    return Task(name, "m", 8, lambda items, threads: items)


def items_of(batch: list[Job]) -> list[Any]:
    return [work.item for job in batch for work in job.part]


def test_works_of_equal_cost_come_first_in_first_out(waiting: Waiting) -> None:
    for name in "abc":
        waiting.put(name)
    assert [waiting.next_one() for _ in range(3)] == ["a", "b", "c"]
    assert (waiting.fair.jobs, waiting.fair.works) == (0, 0)


def test_a_cheaper_work_that_came_later_ends_earlier_on_the_clock(waiting: Waiting) -> None:
    waiting.put("long", cost=3.0)
    waiting.put("short", cost=1.0)
    assert [waiting.next_one() for _ in range(2)] == ["short", "long"]


def test_works_of_a_stream_follow_one_another_on_the_clock(waiting: Waiting) -> None:
    """Six at once from one stream do not delay two of another."""
    long, short = StreamKey(), StreamKey()
    for _ in range(6):
        waiting.put("long", stream=long)
    for _ in range(2):
        waiting.put("short", stream=short)
    order = [waiting.next_one() for _ in range(8)]
    assert order == ["long", "short", "long", "short", "long", "long", "long", "long"]


def test_a_stream_saves_up_no_time_while_it_is_idle(waiting: Waiting) -> None:
    """The clock is never behind the streams that wait: old streams start where new ones do."""
    old, busy = StreamKey(), StreamKey()
    waiting.put("old", stream=old)
    waiting.next_one()
    for _ in range(54):
        waiting.put("busy", stream=busy)
    assert {waiting.next_one() for _ in range(50)} == {"busy"}
    for _ in range(4):
        waiting.put("old", stream=old)
    order = [waiting.next_one() for _ in range(8)]
    assert Counter(order[:4]) == {"busy": 2, "old": 2}


def test_a_new_stream_goes_before_streams_that_have_had_their_share(waiting: Waiting) -> None:
    """Although each of these puts its next work in only when the one before was taken."""
    streams = {name: StreamKey() for name in "abcde"}
    for name, stream in streams.items():
        waiting.put(name, cost=4.0, stream=stream)
    for _ in range(23):  # somewhere in the middle
        name = waiting.next_one()
        waiting.put(name, cost=4.0, stream=streams[name])
    waiting.put("new", cost=1.0)
    assert "new" in [waiting.next_one() for _ in range(2)]


def test_new_streams_do_not_keep_an_old_one_waiting_forever(waiting: Waiting) -> None:
    long = StreamKey()
    waiting.put("long", cost=4.0, stream=long)
    for _ in range(9):
        waiting.put("short")
    taken = []
    for _ in range(400):
        name = waiting.next_one()
        taken.append(name)
        if name == "long":
            waiting.put("long", cost=4.0, stream=long)
        else:
            waiting.put("short")
    seconds = 4 * taken.count("long") / (4 * taken.count("long") + taken.count("short"))
    assert 0.05 < seconds < 0.2  # one of about ten


def test_a_batch_holds_the_works_of_the_task_whose_turn_it_is(waiting: Waiting) -> None:
    other = named_task("decode")
    waiting.put("e1")
    waiting.put("d1", task=other)
    waiting.put("e2")
    waiting.put("d2", task=other)
    assert waiting.fair.task is waiting.task
    assert waiting.fair.jobs_in_turn == 2
    assert items_of(waiting.fair.take(8, 1e9, one_each=True)) == ["e1", "e2"]
    assert waiting.fair.task is other
    assert items_of(waiting.fair.take(8, 1e9, one_each=True)) == ["d1", "d2"]


def test_one_each_takes_one_work_of_each_job(waiting: Waiting) -> None:
    job = waiting.put("a1", "a2", "a3")
    waiting.put("b1")
    assert waiting.fair.works == 4
    assert items_of(waiting.fair.take(8, 1e9, one_each=True)) == ["a1", "b1"]
    assert waiting.fair.works == 0  # the rest of the job waits when this is done
    job.results.append("a1")
    waiting.fair.put(job)
    assert waiting.fair.works == 2
    assert waiting.next_one() == "a2"


def test_take_takes_more_of_a_job_where_its_turn_comes_again(waiting: Waiting) -> None:
    waiting.put("a1", "a2", "a3", "a4")
    waiting.put("b1", cost=2.5)
    assert waiting.fair.has_in_turn(5)
    assert not waiting.fair.has_in_turn(6)
    batch = waiting.fair.take(4)
    assert [[work.item for work in job.part] for job in batch] == [["a1", "a2", "a3"], ["b1"]]


def test_a_batch_holds_no_more_audio_than_allowed_unless_one_work_does(waiting: Waiting) -> None:
    for name in "abc":
        waiting.put(name, cost=2.0)
    assert items_of(waiting.fair.take(8, 4.5, one_each=True)) == ["a", "b"]
    assert items_of(waiting.fair.take(8, 1.0, one_each=True)) == ["c"]


def test_works_of_clients_that_have_gone_are_dropped(waiting: Waiting) -> None:
    gone = waiting.put("gone", "gone too")
    waiting.put("here")
    gone.future.cancel()
    assert waiting.fair.works == 3
    assert items_of(waiting.fair.take(8)) == ["here"]
    assert (waiting.fair.jobs, waiting.fair.works) == (0, 0)


def test_clear_gives_back_the_jobs_in_their_order(waiting: Waiting) -> None:
    jobs = [waiting.put(name) for name in "abc"]
    assert waiting.fair.clear() == jobs
    assert (waiting.fair.jobs, waiting.fair.works) == (0, 0)
    with pytest.raises(ValueError, match="empty"):
        _ = waiting.fair.task


def test_a_stream_that_had_the_queue_alone_takes_turns_with_a_new_one(waiting: Waiting) -> None:
    """However much it had before: the new stream's works do not all go first."""
    old, new = StreamKey(), StreamKey()
    for _ in range(50):
        waiting.put("old", stream=old)
        assert waiting.next_one() == "old"
    waiting.put("old", stream=old)
    for _ in range(20):
        waiting.put("new", stream=new)
    assert "old" in [waiting.next_one() for _ in range(2)]


class Weighted(Owner):
    """Somebody whose streams have this weight."""

    def __init__(self, weight: float):
        self._weight = weight

    @property
    def weight(self) -> float:
        return self._weight


def test_streams_get_audio_by_their_weights(waiting: Waiting) -> None:
    """Ten streams of one key weigh as much together as one of another."""
    many = [StreamKey(Weighted(0.55)) for _ in range(10)]
    one = StreamKey(Weighted(5.5))
    for stream in [*many, one]:
        waiting.put("one" if stream is one else "many", stream=stream)
    taken = []
    for _ in range(200):
        name = waiting.next_one()
        taken.append(name)
        waiting.put(name, stream=one if name == "one" else many[len(taken) % 10])
    assert 0.4 < taken.count("one") / len(taken) < 0.6


def test_a_new_stream_of_a_key_with_few_goes_before_those_of_a_key_with_many(
    waiting: Waiting,
) -> None:
    for _ in range(50):
        waiting.put("many", stream=StreamKey(Weighted(0.51)))
    waiting.put("one", stream=StreamKey(Weighted(25.5)))
    assert waiting.next_one() == "one"
