"""Tasks beside one another: two of which each stops the other, and those that stand alone."""

import asyncio
import contextvars
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any, TypeVar

T = TypeVar("T")


def create_task_apart(work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
    """A task that belongs to no request: its log lines carry none's id."""
    return asyncio.create_task(work, context=contextvars.Context())


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
    except BaseExceptionGroup as failures:
        error = failures.exceptions[0]  # the first to fail
        if here.cancelling() > cancelled_before:
            error = asyncio.CancelledError()
    if error is not None:
        raise error
