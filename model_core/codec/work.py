"""Work for the networks, apart from who runs it.

A stream is written as a generator that yields the `Work` it needs next, as a list whose parts may
run at the same time or as `InOrder`, and is sent the list of the results. `run_steps` is the plain
driver; the service has one that goes through its queue.
"""

from collections.abc import Callable, Generator, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import torch

T = TypeVar("T")

CPU = torch.device("cpu")


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
        """The most items one call takes. Where the batch has a fixed shape, on a GPU, each item
        counts; elsewhere those of one stream in order count as one."""

    @property
    def device(self) -> torch.device:
        """Where it runs; language models are on the CPU, whatever the codec's device."""

    def run(self, items: list[Any], threads: int | None = None) -> list[Any]:
        """The result of each item, in their order; `threads` is how many it may use, None leaves
        it to the task. Items of different streams may run in different threads at once."""


@dataclass(frozen=True)
class Work:
    """One item for a task; `cost` is in seconds of audio."""

    task: Task
    item: Any
    cost: float


@dataclass(frozen=True)
class InOrder:
    """Work of one stream and one task that is done in this order, as much of it at once as suits
    who runs it."""

    works: Sequence[Work]

    def __iter__(self) -> Iterator[Work]:
        return iter(self.works)

    def __len__(self) -> int:
        return len(self.works)


Wanted = list[Work] | InOrder
"""What a stream needs next."""

Steps = Generator[Wanted, list[Any], T]


@dataclass(frozen=True)
class FunctionTask:
    """A task made of a function over a batch."""

    name: str
    model: str
    max_batch: int
    function: Callable[[list[Any], int | None], list[Any]]
    device: torch.device = CPU

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


def _run_all(wanted: Wanted) -> list[Any]:
    if isinstance(wanted, InOrder):
        return wanted.works[0].task.run([work.item for work in wanted]) if wanted.works else []
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
