"""The jobs in a database, SQLite or PostgreSQL, which several replicas may share.

Every change is one statement that says in its `WHERE` what it takes for granted, and has happened
if a row was changed: so two replicas never both take a job, nor does one that was thought dead
finish what another has taken over. Times are seconds since 1970, by the replicas' clocks, which
must agree to within a fraction of the lease.
"""

import asyncio
import time
from collections.abc import Callable, Collection, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict
from functools import partial
from typing import Any, ParamSpec, TypeVar

import sqlalchemy as sa
import structlog
from sqlalchemy.exc import DBAPIError, IntegrityError, TimeoutError

from .database import job_of, open_database, table
from .job import Input, Job, Order, Progress, State

T = TypeVar("T")
P = ParamSpec("P")

logger = structlog.get_logger(__name__)

_THREADS = 4
_PAUSE = 1.0  # s, before a database that failed is tried again
_jobs = table.c

StoreError = (DBAPIError, TimeoutError)
"""What any method of `Store` may raise: the database cannot be reached, or fails."""


class Store:
    """The methods block; `call` runs them in threads of their own, so that a database that does not
    answer keeps nothing else waiting."""

    def __init__(self, url: str):
        """Raises `StoreError`, and `ValueError` for what is no URL of a database."""
        self._engine = open_database(url)
        self._threads = ThreadPoolExecutor(_THREADS, thread_name_prefix="jobs")

    def close(self) -> None:
        self._threads.shutdown(wait=False, cancel_futures=True)
        self._engine.dispose()

    async def call(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """`work`, a method or something that calls some, in a thread."""
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._threads, partial(work, *arguments, **named))

    async def insist(self, work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
        """`call`, again while the database cannot be used."""
        while True:
            try:
                return await self.call(work, *arguments, **named)
            except StoreError as error:
                logger.error("the database of jobs cannot be used", error=str(error))
                await asyncio.sleep(_PAUSE)

    def reserve(self, id: str, order: Order, size: int, lease: float) -> bool:
        """A new job whose upload begins; False where its `Idempotency-Key` has one already."""
        row = {
            "id": id,
            "owner": order.owner,
            "idempotency_key": order.idempotency_key,
            "order": asdict(order),
            "state": State.RECEIVING,
            "bytes": size,
            "created": time.time(),
            "due": time.time() + lease,
            "webhook_state": None if order.webhook is None else "pending",
        }
        try:
            with self._engine.connect() as connection:
                connection.execute(table.insert().values(row))
        except IntegrityError:
            if order.idempotency_key is None:
                raise
            return False
        return True

    def usage(self, owner: str | None = None) -> tuple[int, int]:
        """How many jobs there are, of all or of an owner, and the bytes of their files."""
        total = sa.func.coalesce(sa.func.sum(_jobs.bytes), 0)
        found = sa.select(sa.func.count(), total)
        if owner is not None:
            found = found.where(_jobs.owner == owner)
        with self._engine.connect() as connection:
            count, size = connection.execute(found).one()
            return int(count), int(size)

    def next_expiry(self) -> float | None:
        """When the first job is forgotten."""
        with self._engine.connect() as connection:
            found: float | None = connection.scalar(sa.select(sa.func.min(_jobs.expires)))
            return found

    def keep_receiving(self, id: str, size: int, lease: float) -> bool:
        """The upload of a job goes on, with so many bytes until now or as were declared."""
        values = {"bytes": size, "due": time.time() + lease}
        return self._changed(self._update(id, State.RECEIVING).values(values)) == 1

    def enqueue(self, id: str, received: Input) -> bool:
        """The upload is there. False where it took longer than its lease."""
        values = {
            "state": State.QUEUED,
            "input": asdict(received),
            "bytes": received.size,
            "due": 0.0,
        }
        return self._changed(self._update(id, State.RECEIVING).values(values)) == 1

    def take(self, lease: float) -> Job | None:
        """Begin the next job that nobody works on, or whose worker has not been heard of for its
        lease: of the owner who has the fewest running, the oldest."""
        now = time.time()
        free = _jobs.state.in_((State.QUEUED, State.RUNNING)) & (_jobs.due <= now)
        other = table.alias()
        running = (
            sa.select(sa.func.count())
            .where(other.c.owner == _jobs.owner, other.c.state == State.RUNNING)
            .scalar_subquery()
        )
        some = sa.select(_jobs.id, _jobs.attempt).where(free)
        with self._engine.connect() as connection:
            found = connection.execute(some.order_by(running, _jobs.created).limit(8)).all()
        for id, attempt in found:
            values = {
                "state": State.RUNNING,
                "attempt": attempt + 1,
                "tries": _jobs.tries + 1,
                "due": now + lease,
                "started": now,
                "seconds": 0.0,
                "share": None,
            }
            change = table.update().where(_jobs.id == id, _jobs.attempt == attempt, free)
            if self._changed(change.values(values)):
                return self.get(id)
        return None

    def renew(self, job: Job, progress: Progress, size: int, lease: float) -> bool:
        """Whether the attempt is still the one that counts; if so, for another lease."""
        values = {
            "due": time.time() + lease,
            "seconds": progress.seconds,
            "share": progress.share,
            "bytes": size,
        }
        return self._changed(self._attempt(job).values(values)) == 1

    def fetched(self, job: Job, found: Input) -> bool:
        """The input that its order names is there, for this and further attempts."""
        return self._changed(self._attempt(job).values(input=asdict(found))) == 1

    def put_back(self, job: Job, after: float, good: bool) -> bool:
        """To be begun again in `after` seconds; `good` where the attempt is not to be counted."""
        due = time.time() + after
        values = {"state": State.QUEUED, "due": due, "seconds": 0.0, "share": None}
        if good:
            values["tries"] = _jobs.tries - 1
        return self._changed(self._attempt(job).values(values)) == 1

    def postpone(self, owner: str, after: float) -> None:
        """No job of an owner is begun for so many seconds."""
        due = time.time() + after
        waiting = (_jobs.owner == owner) & (_jobs.state == State.QUEUED) & (_jobs.due < due)
        self._changed(table.update().where(waiting).values(due=due))

    def finish(
        self,
        job: Job,
        kept_for: float,
        *,
        progress: Progress,
        result_bytes: int = 0,
        headers: dict[str, str] | None = None,
        etag: str | None = None,
        problem: dict[str, Any] | None = None,
    ) -> bool:
        """End the attempt: failed with a problem, or done. False where it no longer counts."""
        now = time.time()
        values = {
            "state": State.DONE if problem is None else State.FAILED,
            "finished": now,
            "expires": now + kept_for,
            "seconds": progress.seconds,
            "share": progress.share,
            "bytes": result_bytes,
            "result_bytes": result_bytes,
            "headers": headers,
            "etag": etag,
            "problem": problem,
        }
        if job.order.webhook is not None:
            values["webhook_due"] = now
        return self._changed(self._attempt(job).values(values)) == 1

    def cancel(self, id: str, kept_for: float) -> bool:
        """End a job that has not ended; False where it has."""
        now = time.time()
        open_states = (State.QUEUED, State.RUNNING)
        change = table.update().where(_jobs.id == id, _jobs.state.in_(open_states))
        values = {
            "state": State.CANCELLED,
            "finished": now,
            "expires": now + kept_for,
            "bytes": 0,
            "webhook_state": None,
        }
        return self._changed(change.values(values)) == 1

    def forget(self, id: str, *states: State) -> bool:
        """Delete a job that is in one of `states`."""
        return self._changed(sa.delete(table).where(_jobs.id == id, _jobs.state.in_(states))) == 1

    def overdue(self) -> list[str]:
        """Jobs to forget: those that have expired, and those whose upload broke off."""
        now = time.time()
        broken = (_jobs.state == State.RECEIVING) & (_jobs.due < now)
        with self._engine.connect() as connection:
            return list(
                connection.scalars(sa.select(_jobs.id).where(broken | (_jobs.expires < now)))
            )

    def forget_overdue(self, id: str) -> bool:
        """Delete one of them, if it still is."""
        now = time.time()
        broken = (_jobs.state == State.RECEIVING) & (_jobs.due < now)
        gone = sa.delete(table).where(_jobs.id == id, broken | (_jobs.expires < now))
        return self._changed(gone) == 1

    def ids(self) -> set[str]:
        """All of them."""
        with self._engine.connect() as connection:
            return set(connection.scalars(sa.select(_jobs.id)))

    def take_webhook(self, lease: float, passed_over: Collection[str] = ()) -> Job | None:
        """A finished job whose webhook is due, of none of the owners who are passed over; nobody
        else gets it for `lease` seconds."""
        now = time.time()
        some = sa.select(_jobs.id, _jobs.webhook_due).where(
            _jobs.webhook_state == "pending",
            _jobs.webhook_due <= now,
            _jobs.owner.not_in(passed_over),
        )
        with self._engine.connect() as connection:
            found = connection.execute(some.order_by(_jobs.webhook_due).limit(8)).all()
        for id, due in found:
            change = table.update().where(_jobs.id == id, _jobs.webhook_due == due)
            if self._changed(change.values(webhook_due=now + lease)):
                return self.get(id)
        return None

    def webhook_tried(self, job: Job, state: str, after: float) -> None:
        """Whether it was `delivered`, has `failed` for good or is `pending` for `after` seconds."""
        values = {
            "webhook_state": state,
            "webhook_tries": job.webhook_tries + 1,
            "webhook_due": time.time() + after,
        }
        self._changed(table.update().where(_jobs.id == job.id).values(values))

    def get(self, id: str) -> Job | None:
        return self._one(_jobs.id == id)

    def named(self, owner: str, idempotency_key: str) -> Job | None:
        """The job that was asked for with this `Idempotency-Key`."""
        return self._one((_jobs.owner == owner) & (_jobs.idempotency_key == idempotency_key))

    def owned(self, owner: str, limit: int) -> Sequence[Job]:
        """The latest of an owner, the latest first."""
        mine = (_jobs.owner == owner) & (_jobs.state != State.RECEIVING)
        latest = sa.select(table).where(mine).order_by(_jobs.created.desc()).limit(limit)
        with self._engine.connect() as connection:
            return [job_of(row) for row in connection.execute(latest)]

    def states(self) -> Mapping[str, int]:
        """How many jobs are in which state."""
        count = sa.select(_jobs.state, sa.func.count()).group_by(_jobs.state)
        with self._engine.connect() as connection:
            found = {State(state): int(number) for state, number in connection.execute(count)}
        return {state: found.get(state, 0) for state in State}

    def _one(self, condition: sa.ColumnElement[bool]) -> Job | None:
        with self._engine.connect() as connection:
            row = connection.execute(sa.select(table).where(condition)).one_or_none()
            return None if row is None else job_of(row)

    def _changed(self, statement: sa.Executable) -> int:
        """How many rows it changes."""
        with self._engine.connect() as connection:
            return connection.execute(statement).rowcount

    def _update(self, id: str, state: State) -> sa.Update:
        return table.update().where(_jobs.id == id, _jobs.state == state)

    def _attempt(self, job: Job) -> sa.Update:
        return self._update(job.id, State.RUNNING).where(_jobs.attempt == job.attempt)
