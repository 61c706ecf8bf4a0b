"""Many mixed requests to our service: checks the bytes of each, and the server's memory."""

import hashlib
import random
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any

import httpx

from ..memory import tree_bytes
from ..results import Row
from ..table import Column, Table
from .servers import PLAIN, Server
from .trial import SERVER_COLUMNS, Trial
from .uploads import short_clips

KIND = "soak"
TABLE = Table(
    [
        *SERVER_COLUMNS,
        Column("requests", 8, 0),
        Column("at once", 7, 0),
        Column("not as alone", 12, 0),
        Column("MiB after", 9, 0),
    ]
)
_AT_ONCE = 64
_DRAWN_AT_ONCE = 32
_STEPS = 5
_MIB = 1 << 20


@dataclass(frozen=True)
class _Request:
    """A body for a call, and the digest of the response when sent alone."""

    url: str
    body: bytes
    digest: bytes


def rows(trial: Trial) -> Iterator[Row]:
    """Every request alone; 64 at once; then `soak_requests` drawn at random, 32 at a time."""
    for server in trial.servers:
        if server.name == PLAIN:
            continue
        with httpx.Client(timeout=600, limits=httpx.Limits(max_connections=_AT_ONCE)) as client:
            requests = _alone(client, trial, server)
            yield _row(trial, server, len(requests), 1, 0)
            rng = random.Random(1)
            batch = [requests[i % len(requests)] for i in range(_AT_ONCE)]
            yield _row(trial, server, _AT_ONCE, _AT_ONCE, _differing(client, batch, _AT_ONCE))
            for step in range(_STEPS):
                drawn = rng.choices(requests, k=trial.plan.soak_requests // _STEPS)
                different = _differing(client, drawn, _DRAWN_AT_ONCE)
                done = (step + 1) * len(drawn)
                yield _row(trial, server, done, _DRAWN_AT_ONCE, different)


def _alone(client: httpx.Client, trial: Trial, server: Server) -> list[_Request]:
    made = []
    rates = trial.config.target_bandwidths
    for number, upload in enumerate(short_clips(trial.config)):
        url = f"{server.call('compress')}&bandwidth={rates[number % len(rates)]:g}"
        answer = client.post(url, content=upload.body).raise_for_status().content
        made.append(_Request(url, upload.body, _digest(answer)))
        if number % 2:
            url = server.call("decompress")
            wav = client.post(url, content=answer).raise_for_status().content
            made.append(_Request(url, answer, _digest(wav)))
    return made


def _differing(client: httpx.Client, requests: Sequence[_Request], at_once: int) -> int:
    """The number of requests that fail or whose response differs from that when sent alone."""

    def differs(request: _Request) -> bool:
        answer = client.post(request.url, content=request.body)
        return answer.status_code != 200 or _digest(answer.content) != request.digest

    with ThreadPoolExecutor(at_once) as threads:
        return sum(threads.map(differs, requests))


def _digest(data: bytes) -> bytes:
    return hashlib.sha256(data).digest()


def _row(trial: Trial, server: Server, requests: int, at_once: int, different: int) -> Row:
    return {
        "kind": KIND,
        "model": trial.model,
        "server": server.name,
        "requests": requests,
        "at_once": at_once,
        "different": different,
        "mib": tree_bytes(server.pid) / _MIB,
    }


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    return [row[k] for k in ("model", "server", "requests", "at_once", "different", "mib")]
