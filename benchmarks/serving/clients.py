"""Clients that post one short clip after another."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass, field

import httpx

from .uploads import Upload

_PATIENCE = 600  # s


@dataclass
class Load:
    """The result; `wall` is the time until the last response."""

    latencies: list[float] = field(default_factory=list)  # s, of responses with status 200
    audio_seconds: float = 0.0
    failed: int = 0
    wall: float = 0.0

    def __iadd__(self, other: "Load") -> "Load":
        self.latencies += other.latencies
        self.audio_seconds += other.audio_seconds
        self.failed += other.failed
        self.wall += other.wall
        return self


def post_clips(url: str, clips: Sequence[Upload], clients: int, seconds: float) -> Load:
    """Each client posts clips to `url` for `seconds`, the next after each response."""
    return asyncio.run(_post_clips(url, clips, clients, seconds))


async def _post_clips(url: str, clips: Sequence[Upload], clients: int, seconds: float) -> Load:
    load = Load()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(timeout=_PATIENCE, limits=limits) as session:
        began = time.perf_counter()

        async def client(index: int) -> None:
            while time.perf_counter() - began < seconds:
                await _post(session, url, clips[index % len(clips)], load)
                index += clients

        await asyncio.gather(*(client(index) for index in range(clients)))
        load.wall = time.perf_counter() - began
    return load


async def _post(session: httpx.AsyncClient, url: str, clip: Upload, load: Load) -> None:
    began = time.perf_counter()
    try:
        answer = await session.post(url, files={"file": ("clip.wav", clip.body)})
    except httpx.TransportError:
        load.failed += 1
        return
    if answer.status_code != 200:
        load.failed += 1
        return
    load.latencies.append(time.perf_counter() - began)
    load.audio_seconds += clip.seconds
