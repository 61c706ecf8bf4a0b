"""Tasks beside one another: two of which each stops the other, and those that stand alone; threads
that stand alone."""

import asyncio
import contextvars
import threading
from collections.abc import AsyncIterator, Callable, Coroutine
from concurrent.futures import Future
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def create_task_apart(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that belongs to no request: its log lines carry none's id."""
    return asyncio.create_task(work, context=contextvars.Context())


async def in_thread_apart(function: Callable[[], T], name: str) -> T:
    """The result of `function`, run in a new daemon thread. Unlike an executor's, one that hangs
    (in a download, say) holds up neither the end of the process nor others' work."""
    future: Future[T] = Future()
    future.set_running_or_notify_cancel()  # the thread goes on if nobody waits any longer

    def run() -> None:
        try:
            future.set_result(function())
        except Exception as error:  # noqa: BLE001  raised where it is awaited
            future.set_exception(error)

    threading.Thread(target=run, name=name, daemon=True).start()
    return await asyncio.wrap_future(future)


@asynccontextmanager
async def alongside(side: Coroutine[Any, Any, None]) -> AsyncIterator[None]:
    """Run `side` in a task while the block runs.

    If `side` fails, the block is cancelled and the error of `side` raised in its place. When the
    block ends, `side` is cancelled and awaited. Being cancelled from outside goes before errors.
    """
    here = asyncio.current_task()
    assert here is not None
    cancelled_before = here.cancelling()
    error: BaseException | None = None
    try:
        async with asyncio.TaskGroup() as group:
            task = group.create_task(side)
            yield
            task.cancel()
            # Here: before Python 3.13, what fails at the group's end cancels what comes after it.
            await asyncio.wait([task])
    except BaseExceptionGroup as failures:
        error = failures.exceptions[0]  # the first to fail
        if here.cancelling() > cancelled_before:
            error = asyncio.CancelledError()
    if error is not None:
        raise error
