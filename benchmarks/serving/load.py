"""Throughput and latency under clients that post short clips."""

from collections.abc import Iterator
from typing import Any

from ..results import Row
from ..table import Column, Table
from ..timing import Percentiles
from .clients import Load, post_clips
from .trial import SERVER_COLUMNS, Trial
from .uploads import short_clips

KIND = "load"
TABLE = Table(
    [
        *SERVER_COLUMNS,
        Column("clients", 7, 0),
        Column("answers", 7, 0),
        Column("failed", 6, 0),
        Column("audio s/s", 9, 1),
        Column("p50 s", 7, 3),
        Column("p99 s", 7, 3),
    ]
)
_ROUNDS = 2


def rows(trial: Trial) -> Iterator[Row]:
    """One row per number of clients and server; the servers take turns."""
    clips = short_clips(trial.config)
    for server in trial.servers:
        post_clips(server.call("compress"), clips, clients=2, seconds=1)
    for clients in trial.plan.clients:
        loads = {server.name: Load() for server in trial.servers}
        for _ in range(_ROUNDS):
            for server in trial.servers:
                seconds = trial.plan.duration / _ROUNDS
                loads[server.name] += post_clips(server.call("compress"), clips, clients, seconds)
        for name, load in loads.items():
            latency = Percentiles.of(load.latencies) if load.latencies else None
            yield {
                "kind": KIND,
                "model": trial.model,
                "server": name,
                "clients": clients,
                "answers": len(load.latencies),
                "failed": load.failed,
                "audio_seconds_per_second": load.audio_seconds / load.wall,
                "p50": None if latency is None else latency.p50,
                "p99": None if latency is None else latency.p99,
                "most": None if latency is None else latency.most,
            }


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    keys = "model", "server", "clients", "answers", "failed", "audio_seconds_per_second"
    return [row[key] for key in (*keys, "p50", "p99")]
