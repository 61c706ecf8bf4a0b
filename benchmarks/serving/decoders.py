"""The cost of decoding one second in our service: the CPU time of its decoder processes."""

import os
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from ..results import Row
from ..table import Column, Table
from .servers import PLAIN
from .trial import SERVER_COLUMNS, Trial
from .uploads import encoded

KIND = "decoders"
TABLE = Table(
    [
        *SERVER_COLUMNS,
        Column("one second of", 13),
        Column("uploads", 7, 0),
        Column("user ms", 7, 1),
        Column("system ms", 9, 1),
    ]
)
_FORMATS = {  # container, codec, Hz
    "WAV": ("wav", "pcm_s16le", 44_100),
    "FLAC": ("flac", "flac", 44_100),
    "MP3": ("mp3", "libmp3lame", 44_100),
    "Opus": ("ogg", "libopus", 48_000),
}
_UPLOADS = 60  # many, because the kernel counts in hundredths of a second
_SETTLING = 0.3  # s, until the last child has ended


def rows(trial: Trial) -> Iterator[Row]:
    """One row per format: the mean over the children of uploads posted one by one."""
    for server in trial.servers:
        if server.name == PLAIN:
            continue
        parent = fork_server(server.pid)
        for name, form in _FORMATS.items():
            body = encoded(1.0, *form)
            with httpx.Client(timeout=600) as client:
                client.post(server.call("compress"), content=body).raise_for_status()
                before = _children_seconds(parent)
                for _ in range(_UPLOADS):
                    client.post(server.call("compress"), content=body).raise_for_status()
            user, system = (
                1e3 * (after - earlier) / _UPLOADS
                for after, earlier in zip(_children_seconds(parent), before, strict=True)
            )
            yield {
                "kind": KIND,
                "model": trial.model,
                "server": server.name,
                "format": name,
                "uploads": _UPLOADS,
                "user_ms": user,
                "system_ms": system,
            }


def fork_server(server: int) -> int:
    """The process that forks the server's decoder processes."""
    for children in Path(f"/proc/{server}/task").glob("*/children"):
        for pid in children.read_text().split():
            if b"fork_server" in Path(f"/proc/{pid}/cmdline").read_bytes():
                return int(pid)
    raise LookupError(f"process {server} has no fork server")


def _children_seconds(parent: int) -> tuple[float, float]:
    """User and system time of the ended children of a process, after waiting for the last ones
    (proc(5), `stat`)."""
    time.sleep(_SETTLING)
    fields = Path(f"/proc/{parent}/stat").read_text().rpartition(")")[2].split()
    ticks = os.sysconf("SC_CLK_TCK")
    return int(fields[13]) / ticks, int(fields[14]) / ticks


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    keys = "model", "server", "format", "uploads", "user_ms", "system_ms"
    return [row[key] for key in keys]
