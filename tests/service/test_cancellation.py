"""`alongside`: a block and a task that stop each other."""

import asyncio

import pytest

from service.cancellation import alongside

pytestmark = pytest.mark.anyio


async def _forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("side")


async def _fail() -> None:
    await asyncio.sleep(0)
    raise LookupError("side")


async def test_the_side_is_cancelled_and_awaited_when_the_block_ends() -> None:
    ended: list[str] = []
    async with alongside(_forever(ended)):
        await asyncio.sleep(0)
    assert ended == ["side"]


async def test_a_side_that_fails_at_the_moment_when_the_block_ends_raises_its_error() -> None:
    now = asyncio.Event()

    async def fail() -> None:
        await now.wait()
        raise LookupError("side")

    async def block() -> None:
        async with alongside(fail()):
            await asyncio.sleep(0)  # so that it waits first, and fails first
            await now.wait()

    here = asyncio.current_task()
    asyncio.get_running_loop().call_later(0.01, now.set)
    with pytest.raises(LookupError, match="side"):
        await block()
    assert here is not None
    assert not here.cancelling()


async def test_a_failing_side_cancels_the_block_and_raises_in_its_place() -> None:
    reached: list[str] = []

    async def block() -> None:
        async with alongside(_fail()):
            await asyncio.Event().wait()
            reached.append("after")

    with pytest.raises(LookupError, match="side"):
        await block()
    task = asyncio.current_task()
    assert task is not None
    assert not task.cancelling()  # the task can be used as before
    assert not reached


async def test_an_error_of_the_block_is_raised_as_it_is() -> None:
    ended: list[str] = []

    async def block() -> None:
        async with alongside(_forever(ended)):
            await asyncio.sleep(0)
            raise KeyError("block")

    with pytest.raises(KeyError, match="block"):
        await block()
    assert ended == ["side"]


async def test_cancellation_from_outside_wins_over_an_error_of_the_side() -> None:
    async def block() -> None:
        async with alongside(_fail()):
            await asyncio.Event().wait()

    task = asyncio.create_task(block())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task


async def test_a_timeout_around_it_raises_timeout_error() -> None:
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01), alongside(_forever([])):
            await asyncio.Event().wait()
