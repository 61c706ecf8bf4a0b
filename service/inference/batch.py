"""What streams put into the queue, and what a worker takes from it at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from model_core.codec.work import Task, Work


class StreamKey:
    """A stream, as the queue knows it."""


@dataclass(eq=False)
class Job:
    """Works of one stream and one task that run in their order, however many at a time, and the
    future that gets their results.

    The future belongs to the event loop; a worker only asks it whether it was cancelled.
    """

    stream: StreamKey
    works: Sequence[Work]
    future: asyncio.Future[list[Any]]
    results: list[Any] = field(default_factory=list)
    """Of the works that have run."""
    waiting_since: float = 0.0
    """On the monotonic clock: when it was last put into the queue."""

    @property
    def task(self) -> Task:
        return self.works[0].task

    @property
    def done(self) -> int:
        """How many works have run."""
        return len(self.results)

    @property
    def left(self) -> int:
        """How many works have not run yet."""
        return len(self.works) - self.done

    def succeed(self) -> None:
        if not self.future.done():
            self.future.set_result(self.results)

    def fail(self, error: Exception) -> None:
        if isinstance(error, StopIteration):  # a future cannot carry it
            error = RuntimeError(f"the work raised {error!r}")
        if not self.future.done():
            self.future.set_exception(error)


@dataclass(frozen=True)
class Part:
    """The next works of a job, as many as go into one batch."""

    job: Job
    works: Sequence[Work]


@dataclass(eq=False)
class Batch:
    """Parts of jobs of one task that run together."""

    parts: Sequence[Part]

    @property
    def task(self) -> Task:
        return self.parts[0].job.task
