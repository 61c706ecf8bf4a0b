"""What streams hand in to be done, and what a worker takes of it at once."""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from model_core.codec.work import Task, Work


class StreamKey:
    """A stream, as the queue knows it."""


@dataclass(eq=False)
class Job:
    """Works of one stream and one task that are done in their order, however many at a time, and
    the future that their results go to.

    The future belongs to the event loop; a worker only asks it whether it was cancelled.
    """

    stream: StreamKey
    works: Sequence[Work]
    future: asyncio.Future[list[Any]]
    results: list[Any] = field(default_factory=list)
    """Of the works that have been done."""
    waits_since: float = 0.0
    """On the monotonic clock, since it was last put into the queue."""

    @property
    def task(self) -> Task:
        return self.works[0].task

    @property
    def done(self) -> int:
        """How many works."""
        return len(self.results)

    @property
    def left(self) -> int:
        """How many works are still to be done."""
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
    """Parts of jobs of one task, taken to be done together."""

    parts: Sequence[Part]

    @property
    def task(self) -> Task:
        return self.parts[0].job.task
