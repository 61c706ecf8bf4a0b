"""Latency of a one-second clip while the server encodes long files."""

from collections.abc import Iterator
from statistics import median
from typing import Any

import httpx

from ..clips import Clip
from ..footprint import FootprintError
from ..memory import available_memory
from ..results import Row
from ..table import Column, Table, length
from ..timing import Percentiles
from .servers import PLAIN, Server
from .trial import SERVER_COLUMNS, Trial
from .uploads import write_wav
from .waiting import LongFilesError, clip_latencies, long_files

KIND = "beside"
TABLE = Table(
    [
        *SERVER_COLUMNS,
        Column("long files", 12),
        Column("1 s clip idle", 13, 3),
        Column("p50 beside", 10, 3),
        Column("p99 beside", 10, 3),
        Column("p50 / idle", 10, 1),
    ]
)
_SHARE = 0.6  # of the available memory, for the wrapper's long files
_SHORTER = (3600.0, 600.0, 300.0, 60.0, 10.0)  # s


def rows(trial: Trial) -> Iterator[Row]:
    """One row per server. Its last measurement: the wrapper keeps working after its clients have
    left."""
    for server in trial.servers:
        count, seconds = _affordable(trial, server)
        if not count:
            trial.section.note(f"{server.name} is left out beside long files: none would fit")
            continue
        path = write_wav(Clip(trial.config, seconds), trial.folder / "beside.wav")
        url = server.call("compress")
        try:
            idle = clip_latencies(url, trial.config, trial.plan.beside_clips)
            with long_files(url, path, count):
                beside = clip_latencies(url, trial.config, trial.plan.beside_clips)
        except (httpx.HTTPError, LongFilesError) as error:
            trial.section.note(f"{server.name} beside {count} x {length(seconds)}: {error}")
            continue
        latency = Percentiles.of(beside)
        yield {
            "kind": KIND,
            "model": trial.model,
            "server": server.name,
            "files": count,
            "seconds": seconds,
            "clips": len(beside),
            "idle_p50": median(idle),
            "p50": latency.p50,
            "p99": latency.p99,
            "most": latency.most,
        }


def _affordable(trial: Trial, server: Server) -> tuple[int, float]:
    """The number of files and their seconds: as planned for our service; for the wrapper, the
    greatest length of which two fit into memory, and as many as fit."""
    count, seconds = trial.plan.long_files, trial.plan.long_seconds
    if server.name != PLAIN:
        return count, seconds
    room = _SHARE * available_memory()
    for shorter in (seconds, *(s for s in _SHORTER if s < seconds)):
        try:
            each = max(1.0, trial.needed("encode", shorter))
        except FootprintError as error:
            trial.section.note(str(error))
            return 0, shorter
        if min(2, count) * each <= room:
            return min(count, int(room / each)), shorter
    return 0, seconds


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    return [
        row["model"], row["server"], f"{row['files']} x {length(row['seconds'])}",
        row["idle_p50"], row["p50"], row["p99"], row["p50"] / row["idle_p50"],
    ]  # fmt: skip
