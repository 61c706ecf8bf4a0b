"""Live streams: how late each step comes, one stream or many, and the service's memory.

    python -m benchmarks.live                     # 1 and 32 streams in chunks of 1, 4 and 8 frames
    python -m benchmarks.live --beside 4          # the same while 4 files at a time are compressed
    python -m benchmarks.live --streams 32 --chunks 4 --seconds 600      # memory over ten minutes
    python -m benchmarks.live --overhead          # what small chunks cost in kbps; no service

Each client sends audio at the pace of a microphone. A step is late by the time from the sending of
its last sample to the arrival of what it gives: for `compress` of its chunk, for `relay` of its
decoded audio at a listener. What a listener hears is that much and the chunk itself behind: its
first sample waits for its last one.
"""

import argparse
import asyncio
import json
import os
import threading
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from pathlib import Path

import httpx
import numpy as np
from websockets.asyncio.client import ClientConnection, connect

from model_core.config import CONFIGS
from model_core.ecdc.v1 import Header, Parser, Writer

from .memory import tree_bytes
from .serving.servers import Server, bundled
from .table import Column, Table

_MODEL = "encodec_24khz"
_CONFIG = CONFIGS[_MODEL]
_HOP = _CONFIG.hop_length
_WARM_UP = 2.0  # s that are not counted
_MIB = 1 << 20
_MINUTE = 60  # s

TABLE = Table(
    [
        Column("call", 8),
        Column("streams", 7, 0),
        Column("chunk", 5, 0),
        Column("ms", 5, 1),
        Column("p50 ms", 7, 1),
        Column("p99 ms", 7, 1),
        Column("too late", 8, 4),
        Column("heard p50", 9, 1),
        Column("heard p99", 9, 1),
        Column("cores", 5, 2),
        Column("MiB before", 10, 0),
        Column("MiB after", 9, 0),
    ]
)
"""`ms`: a chunk's duration; `too late`: the share of steps that took longer than it; `cores`: what
the service used of the processor, with its client's share left out."""


def _audio(seconds: float) -> np.ndarray:
    """A tone in noise, `[n]` int16."""
    t = np.arange(round(seconds * _CONFIG.sample_rate)) / _CONFIG.sample_rate
    noise = np.random.default_rng(0).normal(0, 0.02, len(t))
    return ((0.2 * np.sin(2 * np.pi * 220 * t) + noise) * 32767).astype("<i2")


async def _speak(
    connection: ClientConnection, chunk: int, sent: list[float], seconds: float
) -> None:
    """Audio at the pace of a microphone, a chunk at a time; notes when each was sent."""
    clock = asyncio.get_running_loop().time
    size = 2 * chunk * _HOP  # bytes
    audio = _audio(min(seconds, _MINUTE)).tobytes()
    began, duration = clock(), chunk * _HOP / _CONFIG.sample_rate
    for number in range(int(seconds / duration)):
        await asyncio.sleep(began + (number + 1) * duration - clock())
        place = number * size % (len(audio) - size)
        sent.append(clock())
        await connection.send(audio[place : place + size])
    await connection.send('{"type":"end"}')


async def _chunks(connection: ClientConnection) -> AsyncIterator[int]:
    """How many chunks have come, each time that some do."""
    parser, count = Parser(), 0
    async for message in connection:
        if isinstance(message, bytes):
            parser.feed(message)
            count += sum(1 for _ in parser.chunks())
            yield count


async def _decoded(connection: ClientConnection, chunk: int) -> AsyncIterator[int]:
    """The same of decoded audio, 16 bits a sample."""
    received = 0
    async for message in connection:
        if isinstance(message, bytes):
            received += len(message)
            yield received // (2 * chunk * _HOP)


async def _delays(counts: AsyncIterator[int], sent: list[float]) -> list[float]:
    """Seconds from the sending of each chunk to the arrival of what it gives."""
    clock = asyncio.get_running_loop().time
    delays: list[float] = []
    async for count in counts:
        now = clock()
        delays += [now - sent[number] for number in range(len(delays), min(count, len(sent)))]
    return delays


async def _until_ready(connection: ClientConnection) -> None:
    assert json.loads(await connection.recv())["type"] == "ready"


async def _stream(url: str, call: str, name: str, chunk: int, seconds: float) -> list[float]:
    """The delays of one stream, without its first ones."""
    sent: list[float] = []
    options = f"chunk={chunk}&bandwidth=6"
    if call == "compress":
        async with connect(
            f"{url}/live/compress?{options}", compression=None, ping_interval=None
        ) as connection:
            await _until_ready(connection)
            async with asyncio.TaskGroup() as group:
                group.create_task(_speak(connection, chunk, sent, seconds))
                heard = group.create_task(_delays(_chunks(connection), sent))
    else:
        room = f"{url}/live/relay/{name}"
        async with (
            connect(
                f"{room}?role=speak&{options}", compression=None, ping_interval=None
            ) as speaker,
            connect(f"{room}?output=s16", compression=None, ping_interval=None) as listener,
        ):
            await _until_ready(speaker)
            await _until_ready(listener)
            async with asyncio.TaskGroup() as group:
                group.create_task(_speak(speaker, chunk, sent, seconds))
                heard = group.create_task(_delays(_decoded(listener, chunk), sent))
    return heard.result()[round(_WARM_UP * _CONFIG.frame_rate / chunk) :]


async def _streams(url: str, call: str, count: int, chunk: int, seconds: float) -> np.ndarray:
    """The delays of many streams at once, which begin at different moments of a chunk."""

    async def one(number: int) -> list[float]:
        await asyncio.sleep(number * chunk * _HOP / _CONFIG.sample_rate / count)
        return await _stream(url, call, f"room-{number}", chunk, seconds)

    async with asyncio.TaskGroup() as group:
        tasks = [group.create_task(one(number)) for number in range(count)]
    return np.concatenate([task.result() for task in tasks])


@contextmanager
def _beside(server: Server, files: int) -> Iterator[None]:
    """Compress files of a minute, so many at a time, while the block runs."""
    stopped = threading.Event()
    body = _audio(_MINUTE).astype(">i2").tobytes()
    headers = {"Content-Type": f"audio/L16; rate={_CONFIG.sample_rate}"}

    def compress() -> None:
        with httpx.Client(timeout=600) as client:
            while not stopped.is_set():
                client.post(server.call("compress"), content=body, headers=headers)

    threads = [threading.Thread(target=compress, daemon=True) for _ in range(files)]
    for thread in threads:
        thread.start()
    try:
        yield
    finally:
        stopped.set()
        for thread in threads:
            thread.join()


def measure(
    server: Server, call: str, count: int, chunk: int, seconds: float
) -> list[str | float | None]:
    """A row of `TABLE`."""
    before, cpu = tree_bytes(server.pid), cpu_seconds(server.pid)
    url = server.url.replace("http", "ws", 1)
    delays = 1000 * asyncio.run(_streams(url, call, count, chunk, seconds))
    duration = 1000 * chunk * _HOP / _CONFIG.sample_rate
    p50, p99 = np.percentile(delays, (50, 99))
    late = float((delays > duration).mean())
    cores = (cpu_seconds(server.pid) - cpu) / seconds
    memory = (before / _MIB, tree_bytes(server.pid) / _MIB)
    heard = (duration + p50, duration + p99)
    return [call, count, chunk, duration, p50, p99, late, *heard, cores, *memory]


def cpu_seconds(pid: int) -> float:
    """Processor time that a process has used (proc(5): utime and stime)."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def overhead() -> Iterator[str]:
    """What chunks of some frames cost: kbps at each bandwidth, of ten minutes."""
    table = Table(
        [Column("frames", 6, 0), *(Column(f"{b:g}", 7, 2) for b in _CONFIG.target_bandwidths)]
    )
    yield table.header()
    for frames in (1, 4, 8, 75):
        cells: list[str | float | None] = [frames]
        for bandwidth in _CONFIG.target_bandwidths:
            books = _CONFIG.codebooks_for(bandwidth)
            writer = Writer(Header(f"{_MODEL}:00000000", books, 0, frames))
            codes = bytes(-(-frames * books * _CONFIG.bits_per_codebook // 8))
            count = 600 * _CONFIG.frame_rate // frames
            size = len(writer.header())
            size += sum(len(writer.chunk(frames * _HOP, codes)) for _ in range(count))
            size += len(writer.finish())
            cells.append(8 * size / 600 / 1000)
        yield table.line(cells)


def main() -> None:
    """The command."""
    parser = argparse.ArgumentParser(description="Measure live streams.")
    parser.add_argument("--streams", type=int, nargs="+", default=[1, 32])
    parser.add_argument("--chunks", type=int, nargs="+", default=[1, 4, 8])
    parser.add_argument("--calls", nargs="+", default=["compress", "relay"])
    parser.add_argument("--seconds", type=float, default=20.0)
    parser.add_argument("--beside", type=int, default=0, help="files compressed at the same time")
    parser.add_argument("--overhead", action="store_true", help="only the cost of small chunks")
    given = parser.parse_args()
    if given.overhead:
        for line in overhead():
            print(line)
        return
    with bundled([_MODEL]) as server, _beside(server, given.beside):
        print(TABLE.header())
        for call in given.calls:
            for count in given.streams:
                if call == "relay" and 2 * count > 32:
                    count = 16  # a speaker and a listener to PCM each
                for chunk in given.chunks:
                    print(
                        TABLE.line(measure(server, call, count, chunk, given.seconds)), flush=True
                    )


if __name__ == "__main__":
    main()
