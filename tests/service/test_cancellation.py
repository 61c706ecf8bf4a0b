"""A block and what runs alongside it: each stops the other."""

import asyncio

import pytest

from service.cancellation import alongside


async def _forever(ended: list[str]) -> None:
    try:
        await asyncio.Event().wait()
    finally:
        ended.append("side")


async def _fail() -> None:
    await asyncio.sleep(0)
    raise LookupError("side")


def test_the_side_is_cancelled_and_awaited_when_the_block_ends() -> None:
    async def run() -> list[str]:
        ended: list[str] = []
        async with alongside(_forever(ended)):
            await asyncio.sleep(0)
        return ended

    assert asyncio.run(run()) == ["side"]


def test_a_failing_side_cancels_the_block_and_raises_in_its_place() -> None:
    reached: list[str] = []

    async def block() -> None:
        async with alongside(_fail()):
            await asyncio.Event().wait()
            reached.append("after")

    async def run() -> None:
        with pytest.raises(LookupError, match="side"):
            await block()
        task = asyncio.current_task()
        assert task is not None
        assert not task.cancelling()  # the task is as usable as before

    asyncio.run(run())
    assert not reached


def test_an_error_of_the_block_is_raised_as_it_is() -> None:
    ended: list[str] = []

    async def block() -> None:
        async with alongside(_forever(ended)):
            await asyncio.sleep(0)
            raise KeyError("block")

    with pytest.raises(KeyError, match="block"):
        asyncio.run(block())
    assert ended == ["side"]


def test_being_cancelled_from_outside_goes_before_an_error_of_the_side() -> None:
    async def block() -> None:
        async with alongside(_fail()):
            await asyncio.Event().wait()

    async def run() -> None:
        task = asyncio.create_task(block())
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task

    asyncio.run(run())


def test_a_time_out_around_it_is_a_time_out() -> None:
    async def run() -> None:
        with pytest.raises(TimeoutError):
            async with asyncio.timeout(0.01), alongside(_forever([])):
                await asyncio.Event().wait()

    asyncio.run(run())
