"""Work for the networks, apart from who runs it: a stream awaits the results of its works from a
`Runner`. With `INLINE`, which never waits, it needs no event loop (`run_now`); the service's runner
puts the works into its queue.
"""

from collections.abc import AsyncIterator, Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

T = TypeVar("T")

CPU = "cpu"


@dataclass(frozen=True)
class Task:
    """Something that can be done to a batch of items."""

    name: str
    """`encode`, `decode`, `lm_encode` or `lm_decode`."""

    model: str
    """Which model, as `.ecdc` headers call it."""

    max_batch: int
    """The most items one call takes. Where the batch has a fixed shape, on a GPU, each item counts;
    elsewhere those of one stream in order count as one."""

    run: Callable[[list[Any], int | None], list[Any]]
    """The result of each item, in their order; the number is how many threads it may use, None
    leaves it to the task. Items of different streams may run in different threads at once."""

    device: str = CPU
    """Where it runs, `cpu` or `cuda:0`; language models are on the CPU, whatever the codec's
    device."""


@dataclass(frozen=True)
class Work:
    """One item for a task; `cost` is in seconds of audio."""

    task: Task
    item: Any
    cost: float


class Runner(Protocol):
    """Runs the works of a stream."""

    async def run(self, works: Sequence[Work], *, in_order: bool = False) -> list[Any]:
        """The result of each of `works`, in their order; raises what a work raises.

        All have one task. They may run at the same time; with `in_order` each continues the one
        before it, and the runner chooses how many it does in one batch.
        """


class Inline:
    """Runs works where they are awaited; its `run` never waits."""

    async def run(self, works: Sequence[Work], *, in_order: bool = False) -> list[Any]:
        """As `Runner`."""
        if not works:
            return []
        task, items = works[0].task, [work.item for work in works]
        at_once = len(items) if in_order else task.max_batch
        results: list[Any] = []
        for start in range(0, len(items), at_once):
            results += task.run(items[start : start + at_once], None)
        return results


INLINE = Inline()


def run_now(stream: Awaitable[T]) -> T:
    """The result of a coroutine that never waits, such as that of a stream with `INLINE`.

    Raises what it raises, and `RuntimeError` if it waits after all.
    """
    steps = stream.__await__()
    try:
        next(steps)
    except StopIteration as done:
        result: T = done.value
        return result
    raise RuntimeError("this stream waits: it needs an event loop")


def iterate_now(blocks: AsyncIterator[T]) -> Iterator[T]:
    """What an asynchronous iterator that never waits gives."""
    while True:
        try:
            yield run_now(anext(blocks))
        except StopAsyncIteration:
            return
