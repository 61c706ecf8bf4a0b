"""Where children come from: one forked ahead, and a fork server that may die or hang."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from structlog.testing import capture_logs

from service.decoder.decoder import Decoder
from service.decoder.fork_client import ForkServer
from service.decoder.pool import DecoderPool
from service.decoder.protocol import DecodeRequest, DecoderError
from tests.media import Floats, float_wav, tone
from tests.service.decoder.processes import TIMEOUT, children, decoding, names
from tests.service.decoder.test_decoder import decode, feed, fork_server_pid

SOUND = tone(20.0, 24_000)
DATA = float_wav(SOUND, 24_000)
PART = len(DATA) * 3 // 4  # enough for the first block

pytestmark = [pytest.mark.anyio, pytest.mark.timeout(TIMEOUT)]


@pytest.fixture(scope="module", autouse=True)
def frozen() -> Iterator[None]:
    """What earlier modules left is collected once: all of it is looked at for 0.4 s."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.fixture
async def pool(tmp_path: Path) -> AsyncIterator[DecoderPool]:
    """Nothing of it is left afterwards: no process, no descriptor, no file."""
    gc.collect()  # or what earlier tests left would be missed below
    descriptors, before = len(names("/proc/self/fd")), fork_servers()
    pool = DecoderPool(tmp_path)
    await pool.start()
    yield pool
    await pool.close()
    assert not pool.running
    assert fork_servers() == before
    await until(lambda: len(names("/proc/self/fd")) == descriptors)  # transports close by and by
    assert names(tmp_path) == []


def fork_servers() -> set[int]:
    """Those of this process, zombies among them; a service of other tests may have one."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with contextlib.suppress(FileNotFoundError):  # a thread that has just ended
            found |= {int(pid) for pid in (task / "children").read_text().split()}
    return {pid for pid in found if not is_helper(pid)}


@contextlib.contextmanager
def stopped_from_their_start(most: float = float("inf")) -> Iterator[list[int]]:
    """Fork servers that are started meanwhile, or the first `most`, stop before they do anything;
    gives their pids."""
    pids: list[int] = []
    start = asyncio.create_subprocess_exec

    async def start_stopped(*command: str, **options: Any) -> asyncio.subprocess.Process:
        if len(pids) >= most:
            return await start(*command, **options)
        stop = "/bin/sh", "-c", 'kill -STOP $$; exec "$0" "$@"'
        process = await start(*stop, *command, **options)
        pids.append(process.pid)
        return process

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("asyncio.create_subprocess_exec", start_stopped)
        yield pids


def is_helper(pid: int) -> bool:
    """Whether it is another child of the test run (multiprocessing's, say)."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return bool(command) and b"service.decoder.fork_server" not in command


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


async def waiting(pool: DecoderPool) -> int:
    """The child forked ahead, once it is confined and no other is there."""
    while True:
        found = children(fork_server_pid(pool))
        if len(found) == 1 and open_files(*found) == ["0", "1", "2", "3"]:
            return found.pop()
        await asyncio.sleep(0.01)


def open_files(pid: int) -> list[str]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return names(f"/proc/{pid}/fd")
    return []


async def to_the_end(decoder: Decoder) -> Floats:
    return np.concatenate([block async for block in decoder.blocks()], axis=1)


def same(samples: Floats) -> bool:
    return bool(np.array_equal(samples, SOUND))


async def test_each_upload_has_the_child_forked_ahead_and_no_other(pool: DecoderPool) -> None:
    async def one() -> int:
        ahead = await waiting(pool)
        async with pool.open(DecodeRequest(24_000, 1)) as decoder:
            await until(lambda: decoding(fork_server_pid(pool)) == {ahead})
            await feed(decoder, DATA)
            assert [block.shape[1] async for block in decoder.blocks()] == [24_000] * 20
        await until(lambda: ahead not in children(fork_server_pid(pool)))
        return ahead

    assert len({await one() for _ in range(3)}) == 3


async def test_the_child_forked_ahead_is_confined_already(pool: DecoderPool) -> None:
    root = Path(f"/proc/{await waiting(pool)}")
    await until(lambda: "Max open files            5 " in (root / "limits").read_text())
    assert "NoNewPrivs:\t1" in (root / "status").read_text()


async def test_a_child_that_dies_while_it_waits_fails_no_upload(pool: DecoderPool) -> None:
    ahead = await waiting(pool)
    os.kill(ahead, signal.SIGKILL)
    await until(lambda: ahead not in children(fork_server_pid(pool)))
    assert same(await decode(pool, DATA))
    await waiting(pool)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
async def test_uploads_survive_a_fork_server_that_dies_or_hangs(
    pool: DecoderPool, number: signal.Signals
) -> None:
    """One in the middle of its upload, one when nothing of it has arrived, and those that come."""
    old = fork_server_pid(pool)
    others = fork_servers() - {old}
    request = DecodeRequest(24_000, 1)
    with capture_logs() as logged:
        async with pool.open(request) as middle, pool.open(request) as start:
            await middle.feed(DATA[:PART])
            blocks = middle.blocks()
            first = await anext(blocks)
            os.kill(old, number)
            come = [await decode(pool, DATA) for _ in range(2)]
            assert fork_servers() - others == {fork_server_pid(pool)} != {old}
            await feed(start, DATA)
            come.append(await to_the_end(start))
            await middle.feed(DATA[PART:])
            await middle.end_of_input()
            rest = [block async for block in blocks]
            come.append(np.concatenate([first, *rest], axis=1))
    assert all(map(same, come))
    again = [line for line in logged if line["log_level"] == "warning"]
    assert len(again) == 2  # those that had begun
    assert all("again" in line["event"] and line["reason"] for line in again)
    assert not children(old)
    await waiting(pool)


async def test_an_idle_fork_server_that_dies_is_replaced(pool: DecoderPool) -> None:
    os.kill(old := fork_server_pid(pool), signal.SIGKILL)
    await until(lambda: not pool.running)
    await until(lambda: pool.running and fork_server_pid(pool) != old)
    await waiting(pool)


async def test_an_upload_is_decoded_again_only_once(pool: DecoderPool) -> None:
    async with pool.open(DecodeRequest(24_000, 1)) as decoder:
        await decoder.feed(DATA[:PART])
        receiving = asyncio.create_task(to_the_end(decoder))
        for _ in range(2):
            await until(lambda: pool.running and bool(decoding(fork_server_pid(pool))))
            os.kill(fork_server_pid(pool), signal.SIGKILL)
            await until(lambda: not pool.running)
        with pytest.raises(DecoderError):
            await receiving


@pytest.mark.parametrize("steps", range(6))
async def test_a_closed_pool_starts_nothing_again(pool: DecoderPool, steps: int) -> None:
    """The fork server is lost and the service ends while it comes back, at whatever step."""
    failures: list[None] = []

    pool._on_failure = lambda: failures.append(None)
    os.kill(fork_server_pid(pool), signal.SIGKILL)
    await until(lambda: not pool.running)
    again = asyncio.create_task(pool.start())  # two tasks start it again
    for _ in range(steps):
        await asyncio.sleep(0)
    await pool.close()
    await asyncio.sleep(0.1)
    assert not pool.running
    assert not failures
    with pytest.raises(DecoderError):
        await again
    with pytest.raises(DecoderError):
        await decode(pool, DATA)


async def test_when_every_fork_server_hangs_there_is_an_error(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    start = ForkServer.start

    async def start_one_that_hangs() -> ForkServer:
        server = await start()
        os.kill(server.pid, signal.SIGSTOP)
        return server

    await waiting(pool)
    monkeypatch.setattr(ForkServer, "start", start_one_that_hangs)
    os.kill(fork_server_pid(pool), signal.SIGSTOP)
    assert same(await decode(pool, DATA))  # by the child forked ahead
    with pytest.raises(DecoderError):
        await decode(pool, DATA)


async def test_a_replacement_that_is_stopped_while_it_starts_is_given_up_for_another(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.decoder.pool._NEXT_START", 2.0)
    failures: list[None] = []
    pool._on_failure = lambda: failures.append(None)
    old = fork_server_pid(pool)
    with stopped_from_their_start(1) as started:
        os.kill(old, signal.SIGKILL)
        assert all(map(same, await asyncio.gather(*(decode(pool, DATA) for _ in range(3)))))
    (stopped,) = started
    assert fork_server_pid(pool) not in (old, stopped)
    assert stopped not in fork_servers()
    assert not failures


async def test_uploads_do_not_wait_long_for_a_fork_server_that_never_starts(
    pool: DecoderPool, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is tried again until it starts, though a try and an upload end at the same time."""
    monkeypatch.setattr("service.decoder.pool._NEXT_START", 1.0)
    monkeypatch.setattr("service.decoder.pool._PATIENCE", 1.5)
    failures: list[None] = []
    pool._on_failure = lambda: failures.append(None)
    with stopped_from_their_start() as started:
        os.kill(fork_server_pid(pool), signal.SIGKILL)
        uploads = [decode(pool, DATA) for _ in range(3)]
        for error in await asyncio.gather(*uploads, return_exceptions=True):
            assert isinstance(error, DecoderError)
    assert len(started) < 4
    assert not failures
    await until(lambda: pool.running)
    assert same(await decode(pool, DATA))


async def test_a_child_that_hangs_is_killed_and_not_its_fork_server(pool: DecoderPool) -> None:
    """A child that has closed its socket and does not end is killed: it alone."""

    old = fork_server_pid(pool)
    ahead = await waiting(pool)
    async with pool.open(DecodeRequest(24_000, 1)) as decoder:
        await until(lambda: decoding(old) == {ahead})
        os.kill(ahead, signal.SIGSTOP)
        decoder._reader.feed_eof()
        await decoder.feed(DATA)
        await decoder.end_of_input()
        assert same(await to_the_end(decoder))  # by another one
        assert decoding(old) != {ahead}
    assert fork_server_pid(pool) == old
