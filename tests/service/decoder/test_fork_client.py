"""Starting the fork server and forking, given up in the middle or refused by the system."""

import asyncio
import os
import resource
import signal

import pytest

from service.decoder.fork_client import Child, ForkServer
from service.decoder.protocol import DecoderError
from tests.service.decoder.processes import TIMEOUT, children, names

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(TIMEOUT)]


@pytest.mark.parametrize("steps", range(8))
async def test_a_start_that_is_given_up_leaves_nothing(steps: int) -> None:
    """At whatever step, and though somebody still holds the task and so its frames."""
    await (await ForkServer.start()).close()
    before = names("/proc/self/fd"), children(os.getpid())
    starting = asyncio.create_task(ForkServer.start())
    for _ in range(steps):
        await asyncio.sleep(0)
    starting.cancel()
    await asyncio.wait([starting])
    assert starting.cancelled()
    while (names("/proc/self/fd"), children(os.getpid())) != before:  # noqa: ASYNC110
        await asyncio.sleep(0.01)


async def test_a_system_without_room_for_it_is_a_typed_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """An interpreter that cannot be run stands for whatever the system refuses."""
    monkeypatch.setattr("sys.executable", "/nowhere/python")
    before = names("/proc/self/fd")
    with pytest.raises(DecoderError, match="cannot be started") as caught:
        await ForkServer.start()
    assert names("/proc/self/fd") == before
    assert isinstance(caught.value.__cause__, OSError)


async def test_a_system_without_room_for_a_child_is_a_typed_error() -> None:
    """The fork server has descriptors left for the sockets of a child, and none for its pidfd."""
    server = await ForkServer.start()
    await ended(await server.fork())  # now it is in its loop
    before = names("/proc/self/fd")
    limits = resource.prlimit(server.pid, resource.RLIMIT_NOFILE)
    opened = {int(name) for name in await settled(f"/proc/{server.pid}/fd")}
    third_free = [number for number in range(100) if number not in opened][2]
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, (third_free, limits[1]))
    with pytest.raises(DecoderError, match="Too many open files"):
        await server.fork()
    assert names("/proc/self/fd") == before
    resource.prlimit(server.pid, resource.RLIMIT_NOFILE, limits)
    assert await ended(await server.fork()) == -signal.SIGKILL
    assert names("/proc/self/fd") == before
    await server.close()


async def settled(folder: str) -> list[str]:
    """What is in it, once that stays: the child's end is told before its last descriptor is
    closed."""
    while True:
        found = names(folder)
        await asyncio.sleep(0.2)
        if names(folder) == found:
            return found


async def ended(child: Child) -> int:
    child.kill()
    status = await child.exit_status()
    child.connection.close()
    return status
