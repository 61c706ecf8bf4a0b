"""Doing two things for one request at once, and stopping both when either fails."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from starlette.requests import ClientDisconnect, Request

T = TypeVar("T")

LOST = "connection_lost"
"""In the state of a scope, where the server can tell: an `asyncio.Event` set when the client has
left."""


async def alongside(side: Coroutine[Any, Any, None], main: Coroutine[Any, Any, T]) -> T:
    """The result of `main`, while `side` runs too for as long as it has something to do.

    The first error of either is raised; whatever still runs then is cancelled and awaited.
    """
    helper, worker = asyncio.ensure_future(side), asyncio.ensure_future(main)
    try:
        await asyncio.wait({helper, worker}, return_when=asyncio.FIRST_COMPLETED)
        if not worker.done():
            await helper
        return await worker
    finally:
        helper.cancel()
        worker.cancel()
        await asyncio.gather(helper, worker, return_exceptions=True)


async def until_gone(request: Request) -> None:
    """Wait, once the body has been read, for the client to leave. Raises `ClientDisconnect`."""
    while (await request.receive())["type"] != "http.disconnect":
        pass
    raise ClientDisconnect


async def while_connected(request: Request, work: Coroutine[Any, Any, T]) -> T:
    """The result of `work`, given up when the client leaves. Raises `ClientDisconnect` then."""
    return await alongside(until_gone(request), work)


async def until_lost(request: Request) -> None:
    """The same where the body has not been read, which this leaves as it is. Waits for ever where
    the server cannot tell."""
    lost = request.scope.get("state", {}).get(LOST)
    await (lost if isinstance(lost, asyncio.Event) else asyncio.Event()).wait()
    raise ClientDisconnect
