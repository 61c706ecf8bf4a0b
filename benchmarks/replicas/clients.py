"""Clients that send requests of all kinds, know what the answers must be, and leave at times."""

import asyncio
import random
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from hashlib import sha256
from urllib.parse import urlsplit

import httpx

from model_core.config import CONFIGS

from ..serving.uploads import clip, encoded

_MODEL = "encodec_24khz"
_PATIENCE = 600.0  # s
_BUSY = "429"
_PAUSE = 0.2  # s, after an answer that is not the right one
_LEAVING = 0.1  # of the requests
_LONG = 60.0  # s of audio, in one request of ten
_SAMPLE = 20
"""Wrong answers that are kept."""


@dataclass(frozen=True)
class Request:
    """A body for a path, and the digest of its answer."""

    path: str
    body: bytes
    digest: bytes


@dataclass
class Tally:
    """What came back; `wrong` describes the first of what must not."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    latencies: list[float] = field(default_factory=list)  # s, of answers with status 200

    def add(self, kind: str, wrong: str | None = None) -> None:
        self.counts[kind] += 1
        if wrong is not None and len(self.wrong) < _SAMPLE:
            self.wrong.append(wrong)

    @property
    def failed(self) -> int:
        """Requests with neither the right answer nor one that says that the service is busy."""
        return sum(n for kind, n in self.counts.items() if kind not in ("right", "left", _BUSY))


def mixed_requests(url: str) -> list[Request]:
    """Requests of all sizes, with the answers that a quiet service gives."""
    rate = CONFIGS[_MODEL].sample_rate
    short = [clip(seconds, rate, 1, seed).body for seed, seconds in enumerate((0.4, 1.5, 3.0, 8.0))]
    files = [*short, encoded(5.0, "ogg", "libopus", 48_000), clip(_LONG, rate, 1).body]
    made = []
    with httpx.Client(base_url=url, timeout=_PATIENCE) as client:

        def add(path: str, body: bytes) -> bytes:
            answer = client.post(path, content=body).raise_for_status().content
            made.append(Request(path, body, sha256(answer).digest()))
            return answer

        for file in files:
            coded = add(f"/compress?model={_MODEL}&bandwidth=6", file)
            add("/decompress", coded)
        add(f"/roundtrip?model={_MODEL}", short[1])
        add(f"/compress?model={_MODEL}&format=1", short[2])
    return made


def send(
    url: str,
    requests: Sequence[Request],
    clients: int,
    ended: Callable[[], bool],
    pause: float = 0.0,
) -> Tally:
    """`clients` send one request after another, with a pause of so many seconds, until `ended()`;
    one in ten is left in the middle of the body or of the answer."""
    return asyncio.run(_send(url, requests, clients, ended, pause))


async def _send(
    url: str, requests: Sequence[Request], clients: int, ended: Callable[[], bool], pause: float
) -> Tally:
    tally = Tally()
    limits = httpx.Limits(max_connections=clients, max_keepalive_connections=clients)
    async with httpx.AsyncClient(base_url=url, timeout=_PATIENCE, limits=limits) as session:

        async def client(number: int) -> None:
            chance = random.Random(number)
            while not ended():
                request = chance.choice(requests)
                if chance.random() < _LEAVING:
                    await _leave(url, request, chance, tally)
                else:
                    await _ask(session, request, tally)
                await asyncio.sleep(pause)

        await asyncio.gather(*(client(number) for number in range(clients)))
    return tally


async def _ask(session: httpx.AsyncClient, request: Request, tally: Tally) -> None:
    began = time.monotonic()
    try:
        answer = await session.post(request.path, content=request.body)
    except httpx.TransportError as error:
        tally.add(type(error).__name__, f"{request.path}: {error!r}")
        return
    if answer.status_code == 200:
        right = sha256(answer.content).digest() == request.digest
        tally.add("right" if right else "other bytes", None if right else request.path)
        tally.latencies.append(time.monotonic() - began)
        return
    kind = str(answer.status_code)
    tally.add(kind, None if kind == _BUSY else f"{request.path}: {kind} {answer.text[:300]}")
    await asyncio.sleep(_PAUSE)


async def _leave(url: str, request: Request, chance: random.Random, tally: Tally) -> None:
    """A request whose client goes: half-way through its body, or after a little of the answer."""
    parts = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    except OSError as error:
        tally.add(type(error).__name__, repr(error))
        return
    body = request.body
    head = f"POST {request.path} HTTP/1.1\r\nHost: encodec\r\nContent-Length: {len(body)}\r\n\r\n"
    half = chance.random() < 0.5
    try:
        writer.write(head.encode() + (body[: len(body) // 2] if half else body))
        await writer.drain()
        async with asyncio.timeout(chance.random()):
            await reader.read(1000)
    except (OSError, TimeoutError):
        pass
    writer.close()
    tally.add("left")
