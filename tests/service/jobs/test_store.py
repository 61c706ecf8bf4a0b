"""Jobs in a database: what several replicas may do to them at the same time."""

import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest

from service.jobs.files import new_id
from service.jobs.job import Input, Job, Order, Progress, State
from service.jobs.store import Store

LEASE = 30.0
INPUT = Input("audio/wav", "ü.wav", None, 10, "00")


@pytest.fixture
def stores(database: str) -> Iterator[list[Store]]:
    """Those of four replicas that start at the same time."""
    with ThreadPoolExecutor(4) as threads:
        opened = list(threads.map(lambda _: Store(database), range(4)))
    yield opened
    for store in opened:
        store.close()


def queued(store: Store, owner: str = "", **order: Any) -> str:
    """A new job that waits."""
    id = new_id()
    assert store.reserve(id, Order(owner, "/compress", "", "", **order), 10, LEASE)
    assert store.enqueue(id, INPUT)
    return id


def taken(store: Store, lease: float = LEASE) -> Job:
    job = store.take(lease)
    assert job is not None
    return job


def test_a_job_comes_back_as_it_was_put_in(stores: list[Store]) -> None:
    order = Order("o", "/compress", "a=b&c=%20", "audio/*", "s", "d", "w", "key")
    id = new_id()
    assert stores[0].reserve(id, order, 7, LEASE)
    assert stores[1].take(LEASE) is None  # its upload is not there
    assert stores[0].usage() == (1, 7)
    assert stores[0].keep_receiving(id, 8, LEASE)
    assert stores[0].enqueue(id, INPUT)
    job = taken(stores[1])
    assert (job.id, job.order, job.input) == (id, order, INPUT)
    assert (job.state, job.attempt, job.tries) == (State.RUNNING, 1, 1)
    assert stores[1].renew(job, Progress(1.5, 0.25), 11, LEASE)
    found = stores[2].get(id)
    assert found is not None
    assert found.progress == Progress(1.5, 0.25)
    assert stores[2].usage() == (1, 11)
    headers = {"x": "ü"}
    assert stores[1].finish(
        job, 60, progress=Progress(3, 1), result_bytes=5, headers=headers, etag='"e"'
    )
    done = stores[3].named("o", "key")
    assert done is not None
    assert (done.state, done.headers, done.etag) == (State.DONE, headers, '"e"')
    assert done.finished is not None
    assert done.expires == pytest.approx(done.finished + 60)
    assert [job.id for job in stores[3].owned("o", 9)] == [id]
    assert stores[3].states()[State.DONE] == 1


def test_every_job_is_taken_once(stores: list[Store]) -> None:
    ids = [queued(stores[0]) for _ in range(60)]

    def take_all(store: Store) -> list[str]:
        found = []
        while (job := store.take(LEASE)) is not None:
            found.append(job.id)
        return found

    with ThreadPoolExecutor(8) as threads:
        lists = threads.map(take_all, stores * 2)
    assert Counter(id for found in lists for id in found) == Counter(ids)


def test_a_key_names_one_job(stores: list[Store]) -> None:
    order = Order("o", "/compress", "", "", idempotency_key="key")

    def reserve(store: Store) -> bool:
        return store.reserve(new_id(), order, 0, LEASE)

    with ThreadPoolExecutor(8) as threads:
        assert sum(threads.map(reserve, stores * 4)) == 1
    other = Order("p", "/compress", "", "", idempotency_key="key")
    assert stores[0].reserve(new_id(), other, 0, LEASE)
    for _ in range(2):  # and those without a key are as many as they like
        assert stores[0].reserve(new_id(), Order("o", "/compress", "", ""), 0, LEASE)


def test_the_job_of_a_dead_replica_is_taken_by_one_other(stores: list[Store]) -> None:
    id = queued(stores[0])
    first = taken(stores[0], lease=0.2)
    assert stores[1].take(LEASE) is None
    time.sleep(0.3)
    with ThreadPoolExecutor(8) as threads:
        found = [job for job in threads.map(lambda s: s.take(LEASE), stores * 2) if job]
    assert [(job.id, job.attempt, job.tries) for job in found] == [(id, 2, 2)]
    # it was not dead after all
    assert not stores[0].renew(first, Progress(), 0, LEASE)
    assert not stores[0].put_back(first, 0, good=True)
    assert not stores[0].finish(first, 60, progress=Progress())
    assert stores[1].finish(found[0], 60, progress=Progress())


def test_a_heartbeat_keeps_a_job(stores: list[Store]) -> None:
    queued(stores[0])
    job = taken(stores[0], lease=0.3)
    for _ in range(4):
        time.sleep(0.15)
        assert stores[0].renew(job, Progress(), 0, 0.3)
        assert stores[1].take(LEASE) is None


def test_what_is_put_back_is_taken_again_when_it_is_due(stores: list[Store]) -> None:
    queued(stores[0])
    job = taken(stores[0])
    assert stores[0].put_back(job, 3600, good=True)
    assert stores[1].take(LEASE) is None
    queued(stores[0])
    job = taken(stores[0])
    assert stores[0].put_back(job, 0.2, good=True)
    time.sleep(0.3)
    job = taken(stores[1])
    assert (job.attempt, job.tries) == (2, 1)
    assert stores[1].put_back(job, 0.0, good=False)
    assert taken(stores[1]).tries == 2


def test_an_owner_with_many_jobs_does_not_keep_others_waiting(stores: list[Store]) -> None:
    many = [queued(stores[0], "a") for _ in range(5)]
    other = queued(stores[0], "b")
    assert [taken(stores[0]).id for _ in range(3)] == [many[0], other, many[1]]


def test_cancelled_and_forgotten(stores: list[Store]) -> None:
    waiting, running = queued(stores[0]), queued(stores[0])
    assert stores[1].cancel(waiting, 60)
    job = taken(stores[0])
    assert job.id == running
    assert stores[1].cancel(running, 60)
    assert not stores[1].cancel(running, 60)
    assert not stores[0].renew(job, Progress(), 0, LEASE)
    assert not stores[0].finish(job, 60, progress=Progress())
    assert stores[0].take(LEASE) is None
    assert stores[0].forget(waiting, State.CANCELLED)
    assert not stores[0].forget(waiting, State.CANCELLED)
    assert stores[0].get(waiting) is None
    assert stores[0].ids() == {running}


def test_what_is_overdue(stores: list[Store]) -> None:
    broken = new_id()
    assert stores[0].reserve(broken, Order("", "/compress", "", ""), 0, 0.1)
    queued(stores[0])
    done = taken(stores[0])
    assert stores[0].finish(done, 0.1, progress=Progress())
    assert stores[0].next_expiry() is not None
    kept = queued(stores[0])
    time.sleep(0.2)
    assert set(stores[1].overdue()) == {broken, done.id}
    assert not stores[1].forget_overdue(kept)
    assert stores[1].forget_overdue(broken)
    assert not stores[2].forget_overdue(broken)
    assert not stores[0].enqueue(broken, INPUT)


def test_a_webhook_is_told_by_one(stores: list[Store]) -> None:
    queued(stores[0], webhook="https://example.org/")
    queued(stores[0])
    assert stores[0].take_webhook(LEASE) is None
    for _ in range(2):
        assert stores[0].finish(taken(stores[0]), 60, progress=Progress())

    def take(store: Store) -> Job | None:
        return store.take_webhook(0.2)

    with ThreadPoolExecutor(8) as threads:
        [job] = [job for job in threads.map(take, stores * 2) if job is not None]
    stores[0].webhook_tried(job, "pending", 0.1)
    time.sleep(0.3)
    again = take(stores[1])
    assert again is not None
    assert again.webhook_tries == 1
    time.sleep(0.3)  # the replica that has it dies
    last = take(stores[2])
    assert last is not None
    stores[2].webhook_tried(last, "delivered", 0.0)
    assert take(stores[0]) is None
