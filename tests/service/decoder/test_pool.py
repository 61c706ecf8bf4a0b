"""Where children come from: one forked ahead, and a warm process that may die or hang."""

import asyncio
import contextlib
import gc
import os
import signal
from collections.abc import AsyncIterator, Callable, Coroutine
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from model_core.errors import InvalidAudioError
from service.decoder import Decoder, DecoderError, DecoderPool
from tests.media import Floats, float_wav, tone
from tests.service.decoder.processes import children, decoding
from tests.service.decoder.test_decoder import TIMEOUT, decode, feed, names, zygote_pid

SOUND = tone(20.0, 24_000)
DATA = float_wav(SOUND, 24_000)
PART = len(DATA) * 3 // 4  # enough for the first block

Test = Callable[[DecoderPool], Coroutine[Any, Any, None]]


@asynccontextmanager
async def started(folder: Path) -> AsyncIterator[DecoderPool]:
    """Nothing of it is left afterwards: no process, no descriptor, no file."""
    gc.collect()  # or what earlier tests left would be missed below
    descriptors, before = len(names("/proc/self/fd")), zygotes()
    processes = DecoderPool(folder)
    await processes.start()
    try:
        yield processes
    finally:
        await processes.close()
    assert not processes.running
    assert zygotes() == before
    await until(lambda: len(names("/proc/self/fd")) == descriptors)  # transports close by and by
    assert names(folder) == []


@pytest.fixture
def check(tmp_path: Path) -> Callable[[Test], None]:
    def run(test: Test) -> None:
        async def within() -> None:
            async with asyncio.timeout(TIMEOUT), started(tmp_path) as processes:
                await test(processes)

        asyncio.run(within())

    return run


def zygotes() -> set[int]:
    """Those of this process, zombies among them; a service of other tests may have one."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        found |= {int(pid) for pid in (task / "children").read_text().split()}
    return {pid for pid in found if not is_helper(pid)}


def is_helper(pid: int) -> bool:
    """Whether it is another child of the test run (multiprocessing's, say)."""
    command = Path(f"/proc/{pid}/cmdline").read_bytes()
    return bool(command) and b"service.decoder.fork_server" not in command


async def until(condition: Callable[[], bool]) -> None:
    while not condition():  # noqa: ASYNC110 - nothing tells of it
        await asyncio.sleep(0.01)


async def waiting(processes: DecoderPool) -> int:
    """The child forked ahead, once it is confined and no other is there."""
    while True:
        found = children(zygote_pid(processes))
        if len(found) == 1 and open_files(*found) == ["0", "1", "2", "3"]:
            return found.pop()
        await asyncio.sleep(0.01)


def open_files(pid: int) -> list[str]:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        return names(f"/proc/{pid}/fd")
    return []


async def to_the_end(process: Decoder) -> Floats:
    return np.concatenate([block async for block in process.blocks()], axis=1)


def same(samples: Floats) -> bool:
    return bool(np.array_equal(samples, SOUND))


def test_each_upload_has_the_child_forked_ahead_and_no_other(check: Callable[[Test], None]) -> None:
    async def one(processes: DecoderPool) -> int:
        ahead = await waiting(processes)
        async with processes.open(24_000, 1) as process:
            await until(lambda: decoding(zygote_pid(processes)) == {ahead})
            await feed(process, DATA)
            assert [block.shape[1] async for block in process.blocks()] == [24_000] * 20
        await until(lambda: ahead not in children(zygote_pid(processes)))
        return ahead

    async def test(processes: DecoderPool) -> None:
        assert len({await one(processes) for _ in range(3)}) == 3

    check(test)


def test_what_waits_is_confined_already(check: Callable[[Test], None]) -> None:
    async def test(processes: DecoderPool) -> None:
        root = Path(f"/proc/{await waiting(processes)}")
        await until(lambda: "Max open files            5 " in (root / "limits").read_text())
        assert "NoNewPrivs:\t1" in (root / "status").read_text()

    check(test)


def test_one_that_dies_while_it_waits_is_nobodys_error(check: Callable[[Test], None]) -> None:
    async def test(processes: DecoderPool) -> None:
        ahead = await waiting(processes)
        os.kill(ahead, signal.SIGKILL)
        await until(lambda: ahead not in children(zygote_pid(processes)))
        assert same(await decode(processes, DATA))
        await waiting(processes)

    check(test)


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP])
def test_uploads_survive_the_warm_process(
    check: Callable[[Test], None], number: signal.Signals
) -> None:
    """One in the middle of its upload, one when nothing of it has arrived, and those that come."""

    async def test(processes: DecoderPool) -> None:
        old = zygote_pid(processes)
        others = zygotes() - {old}
        async with processes.open(24_000, 1) as middle, processes.open(24_000, 1) as start:
            await middle.feed(DATA[:PART])
            blocks = middle.blocks()
            first = await anext(blocks)
            os.kill(old, number)
            come = [await decode(processes, DATA) for _ in range(2)]
            assert zygotes() - others == {zygote_pid(processes)} != {old}
            await feed(start, DATA)
            come.append(await to_the_end(start))
            await middle.feed(DATA[PART:])
            await middle.end_of_input()
            rest = [block async for block in blocks]
            come.append(np.concatenate([first, *rest], axis=1))
        assert all(map(same, come))
        assert not children(old)
        await waiting(processes)

    check(test)


def test_idle_it_comes_back_by_itself(check: Callable[[Test], None]) -> None:
    async def test(processes: DecoderPool) -> None:
        os.kill(old := zygote_pid(processes), signal.SIGKILL)
        await until(lambda: not processes.running)
        await until(lambda: processes.running and zygote_pid(processes) != old)
        await waiting(processes)

    check(test)


def test_an_upload_is_tried_again_only_once(check: Callable[[Test], None]) -> None:
    async def test(processes: DecoderPool) -> None:
        async with processes.open(24_000, 1) as process:
            await process.feed(DATA[:PART])
            hearing = asyncio.create_task(to_the_end(process))
            for _ in range(2):
                await until(lambda: processes.running and bool(decoding(zygote_pid(processes))))
                os.kill(zygote_pid(processes), signal.SIGKILL)
                await until(lambda: not processes.running)
            with pytest.raises(DecoderError):
                await hearing

    check(test)


@pytest.mark.parametrize("steps", range(6))
def test_nothing_comes_back_after_the_end(check: Callable[[Test], None], steps: int) -> None:
    """The warm process is lost and the service ends while it comes back, at whatever step."""
    failures: list[None] = []

    async def test(processes: DecoderPool) -> None:
        processes._on_failure = lambda: failures.append(None)
        os.kill(zygote_pid(processes), signal.SIGKILL)
        await until(lambda: not processes.running)
        processes._lost()  # told of twice: two tasks start it again
        for _ in range(steps):
            await asyncio.sleep(0)
        await processes.close()
        await asyncio.sleep(0.1)
        assert not processes.running
        assert not failures
        with pytest.raises(DecoderError):
            await decode(processes, DATA)

    check(test)


def test_where_every_one_hangs_there_is_an_error(check: Callable[[Test], None]) -> None:
    async def hang(processes: DecoderPool) -> None:
        seen = set()
        while True:
            if processes.running and (pid := zygote_pid(processes)) not in seen:
                seen.add(pid)
                os.kill(pid, signal.SIGSTOP)
            await asyncio.sleep(0)

    async def test(processes: DecoderPool) -> None:
        await waiting(processes)
        hanging = asyncio.create_task(hang(processes))
        await asyncio.sleep(0)
        assert same(await decode(processes, DATA))  # by the child forked ahead
        with pytest.raises(DecoderError):
            await decode(processes, DATA)
        hanging.cancel()

    check(test)


def test_a_child_that_hangs_without_its_socket_does_not_make_the_zygote_one_that_hangs(
    check: Callable[[Test], None],
) -> None:
    """A child that has closed its socket and does not end is killed: it alone."""

    async def test(processes: DecoderPool) -> None:
        old = zygote_pid(processes)
        ahead = await waiting(processes)
        async with processes.open(24_000, 1) as process:
            await until(lambda: decoding(old) == {ahead})
            os.kill(ahead, signal.SIGSTOP)
            process._reader.feed_eof()
            with pytest.raises(InvalidAudioError, match="SIGKILL"):
                await anext(process.blocks())
        assert zygote_pid(processes) == old
        assert same(await decode(processes, DATA))

    check(test)
