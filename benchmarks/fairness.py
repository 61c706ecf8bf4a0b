"""What a key with many clients does to one with a small request now and then.

    python -m benchmarks.fairness                     # this checkout
    python -m benchmarks.fairness --against ../other  # another one first

Three API keys: `greedy` posts clips of 20 s from 64 clients, each the next as soon as it has its
answer (or half a second after a refusal); `steady` posts clips of 5 s from four clients; `small` a
clip of a second every half second. The last column is how many times longer a request takes than on
a quiet service. Cores are shared with the clients.
"""

import argparse
import asyncio
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median

import httpx

from model_core.config import CONFIGS

from .serving.servers import ROOT, Server, bundled
from .serving.uploads import Upload, clip
from .table import Column, Table
from .timing import Percentiles

_MODEL = "encodec_24khz"
_REFUSED_PAUSE = 0.5  # s
_ALONE = 20  # requests on the quiet service
_PATIENCE = 600  # s

TABLE = Table(
    [
        Column("checkout", 10),
        Column("key", 7),
        Column("clients", 7, 0),
        Column("answers", 7, 0),
        Column("429", 6, 0),
        Column("others", 6, 0),
        Column("audio s/s", 9, 1),
        Column("p50 s", 7, 3),
        Column("p99 s", 7, 3),
        Column("p50/alone", 9, 1),
        Column("p99/alone", 9, 1),
    ]
)


@dataclass
class _Key:
    """A key's clients and what they got."""

    name: str
    clients: int
    seconds: float
    """Of each clip."""
    pause: float = 0.0
    """Seconds between an answer and the next request."""
    latencies: list[float] = field(default_factory=list)
    statuses: Counter[int] = field(default_factory=Counter)

    @property
    def upload(self) -> Upload:
        config = CONFIGS[_MODEL]
        return clip(self.seconds, config.sample_rate, config.channels)


def _keys(greedy: int) -> list[_Key]:
    return [_Key("greedy", greedy, 20.0), _Key("steady", 4, 5.0), _Key("small", 1, 1.0, 0.5)]


async def _post(client: httpx.AsyncClient, url: str, key: _Key, upload: Upload) -> int:
    began = time.perf_counter()
    headers = {"X-API-Key": key.name, "Content-Type": "audio/wav"}
    try:
        answer = await client.post(url, content=upload.body, headers=headers)
    except httpx.TransportError:
        key.statuses[0] += 1
        return 0
    key.statuses[answer.status_code] += 1
    if answer.status_code == 200:
        key.latencies.append(time.perf_counter() - began)
    return answer.status_code


async def _load(url: str, keys: list[_Key], seconds: float) -> None:
    end = time.perf_counter() + seconds

    async def client(key: _Key, session: httpx.AsyncClient, upload: Upload) -> None:
        while time.perf_counter() < end:
            status = await _post(session, url, key, upload)
            await asyncio.sleep(key.pause if status == 200 else _REFUSED_PAUSE)

    limits = httpx.Limits(max_connections=None)
    async with (
        httpx.AsyncClient(timeout=_PATIENCE, limits=limits) as session,
        asyncio.TaskGroup() as group,
    ):
        for key in keys:
            upload = key.upload
            for _ in range(key.clients):
                group.create_task(client(key, session, upload))


async def _alone(url: str, key: _Key) -> float:
    """The usual time of a request on a quiet service."""
    quiet = _Key(key.name, 1, key.seconds)
    async with httpx.AsyncClient(timeout=_PATIENCE) as session:
        for _ in range(_ALONE):
            await _post(session, url, quiet, quiet.upload)
    return median(quiet.latencies)


@contextmanager
def _server(root: Path) -> Iterator[Server]:
    with bundled([_MODEL], ["--api-keys", "greedy,steady,small"], root) as server:
        yield server


def measure(root: Path, greedy: int, seconds: float) -> Iterator[list[str | float | None]]:
    """The rows of `TABLE` of one checkout."""
    keys = _keys(greedy)
    with _server(root) as server:
        url = server.call("compress")
        alone = {key.name: asyncio.run(_alone(url, key)) for key in keys}
        asyncio.run(_load(url, keys, seconds))
    for key in keys:
        answered, refused = key.statuses[200], key.statuses[429]
        others = key.statuses.total() - answered - refused
        found: list[float | None] = [None] * 4
        if key.latencies:
            took, quiet = Percentiles.of(key.latencies), alone[key.name]
            found = [took.p50, took.p99, took.p50 / quiet, took.p99 / quiet]
        speed = answered * key.seconds / seconds
        yield [root.name, key.name, key.clients, answered, refused, others, speed, *found]


def main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.fairness")
    parser.add_argument("--greedy", type=int, default=64, help="clients of the greedy key")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--against", type=Path, help="another checkout, measured first")
    given = parser.parse_args()
    print(TABLE.header(), flush=True)
    for root in ([given.against.resolve()] if given.against else []) + [ROOT]:
        for row in measure(root, given.greedy, given.seconds):
            print(TABLE.line(row), flush=True)


if __name__ == "__main__":
    main()
