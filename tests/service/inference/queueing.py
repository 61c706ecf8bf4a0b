"""A scheduler with real threads, an observer of it, and works for it."""

import asyncio
import contextlib
import threading
from collections.abc import AsyncIterator, Callable
from typing import Any

from model_core.codec.work import CPU, Task, Work
from service.inference.scheduler import Scheduler


class Seen:
    """What the queue told its observer."""

    def __init__(self) -> None:
        self.batches: list[int] = []
        self.audio = 0.0
        self.depths: list[int] = []

    def queue_depth(self, depth: int) -> None:
        self.depths.append(depth)

    def batch_started(self, task: Task, waited: list[float]) -> None:
        self.batches.append(len(waited))

    def batch_done(self, task: Task, audio: float, seconds: float) -> None:
        self.audio += audio


class Gate:
    """Work that holds its worker until it is opened."""

    def __init__(self) -> None:
        self.entered = threading.Event()
        self.opened = threading.Event()
        self.work = work(self._hold)

    def _hold(self, items: list[Any]) -> list[Any]:
        self.entered.set()
        assert self.opened.wait(20)
        return items

    async def wait_until_entered(self) -> None:
        assert await asyncio.to_thread(self.entered.wait, 20)


class Stepwise:
    """A task for the device, each batch of which goes on when it is told to."""

    def __init__(self, rows: int):
        self.batches: list[list[Any]] = []
        self._begun = threading.Semaphore(0)
        self._go = threading.Semaphore(0)
        self.task = task(self._run, rows, device=CUDA)

    def _run(self, items: list[Any]) -> list[Any]:
        self.batches.append(items)
        self._begun.release()
        assert self._go.acquire(timeout=20)
        return items

    async def begun(self) -> None:
        """Wait for another batch to begin."""
        assert await asyncio.to_thread(self._begun.acquire, timeout=20)

    def go(self, batches: int = 1) -> None:
        self._go.release(batches)

    def works(self, *items: Any) -> list[Work]:
        return [Work(self.task, item, 1.0) for item in items]


CUDA = "cuda:0"  # none is used: it chooses the workers that run a task


def task(
    function: Callable[[list[Any]], list[Any]],
    batch: int = 1,
    name: str = "encode",
    device: str = CPU,
) -> Task:
    return Task(name, "encodec_24khz", batch, lambda items, threads: function(items), device)


def work(function: Callable[[list[Any]], list[Any]], item: Any = None, cost: float = 1.0) -> Work:
    return Work(task(function), item, cost)


def same(items: list[Any]) -> list[Any]:
    return items


@contextlib.asynccontextmanager
async def running(
    threads: int = 1, device: str = CPU, on_death: Callable[[], None] = lambda: None
) -> AsyncIterator[tuple[Scheduler, Seen]]:
    seen = Seen()
    scheduler = Scheduler(threads, device, seen, on_death)
    scheduler.start()
    try:
        yield scheduler, seen
    finally:
        await scheduler.stop()
