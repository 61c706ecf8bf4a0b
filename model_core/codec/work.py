"""Work for the networks, apart from who runs it.

A stream is written as a generator that yields lists of `Work` that may run at the same time, or a
`Sequel`, and is sent the list of their results. `run_steps` is the plain driver; the service has
one that goes through its queue.
"""

from collections.abc import Callable, Generator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")


class Task(Protocol):
    """Something that can be done to a batch of items."""

    @property
    def name(self) -> str:
        """`encode`, `decode`, `lm_encode` or `lm_decode`."""

    @property
    def model(self) -> str:
        """Which model, as `.ecdc` headers call it."""

    @property
    def max_batch(self) -> int:
        """The most items one call takes, those of a sequel counted as one."""

    def run(self, items: list[Any], threads: int | None = None) -> list[Any]:
        """The result of each item, in their order; `threads` is how many it may use, None leaves
        it to the task. Items of different streams may run in different threads at once."""


@dataclass(frozen=True)
class Work:
    """One item for a task; `cost` is in seconds of audio."""

    task: Task
    item: Any
    cost: float


class Sequel(list[Work]):
    """Work of one task that is done in this order, as much of it at once as suits who runs it."""


Steps = Generator[list[Work], list[Any], T]


@dataclass(frozen=True)
class FunctionTask:
    """A task made of a function over a batch."""

    name: str
    model: str
    max_batch: int
    function: Callable[[list[Any], int | None], list[Any]]

    def run(self, items: list[Any], threads: int | None = None) -> list[Any]:
        return self.function(items, threads)


def run_steps(steps: Steps[T]) -> T:
    """Run the work of a stream here and now; returns what the stream returns."""
    try:
        wanted = next(steps)
        while True:
            wanted = steps.send(_run_all(wanted))
    except StopIteration as done:
        result: T = done.value
        return result


def _run_all(wanted: list[Work]) -> list[Any]:
    if isinstance(wanted, Sequel) and wanted:
        return wanted[0].task.run([work.item for work in wanted])
    results: list[Any] = []
    while len(results) < len(wanted):
        task = wanted[len(results)].task
        batch = []
        for work in wanted[len(results) : len(results) + task.max_batch]:
            if work.task is not task:
                break
            batch.append(work.item)
        results += task.run(batch)
    return results
