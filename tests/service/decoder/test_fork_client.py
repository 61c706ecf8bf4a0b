"""Starting the warm process, given up in the middle or refused by the system."""

import asyncio
import os

import pytest

from service.decoder import DecoderError
from service.decoder.fork_client import ForkServer
from tests.service.decoder.processes import children
from tests.service.decoder.test_decoder import TIMEOUT, names


@pytest.mark.parametrize("steps", range(8))
def test_a_start_that_is_given_up_leaves_nothing(steps: int) -> None:
    """At whatever step, and though somebody still holds the task and so its frames."""

    async def test() -> None:
        before = names("/proc/self/fd"), children(os.getpid())
        starting = asyncio.create_task(ForkServer.start(lambda: None))
        for _ in range(steps):
            await asyncio.sleep(0)
        starting.cancel()
        async with asyncio.timeout(TIMEOUT):
            await asyncio.wait([starting])
            assert starting.cancelled()
            while (names("/proc/self/fd"), children(os.getpid())) != before:  # noqa: ASYNC110
                await asyncio.sleep(0.01)

    async def warmed_up() -> None:
        await (await ForkServer.start(lambda: None)).close()
        await test()

    asyncio.run(warmed_up())


def test_a_system_without_room_for_it_is_a_typed_error(monkeypatch: pytest.MonkeyPatch) -> None:
    """An interpreter that cannot be run stands for whatever the system refuses."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")

    async def test() -> None:
        before = names("/proc/self/fd")
        with pytest.raises(DecoderError, match="cannot be started") as caught:
            await ForkServer.start(lambda: None)
        assert names("/proc/self/fd") == before
        assert isinstance(caught.value.__cause__, OSError)

    asyncio.run(test())
