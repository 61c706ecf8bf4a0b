"""Two things at once, of which each stops the other when it fails."""

import asyncio
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any


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
