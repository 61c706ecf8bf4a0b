"""Long files one by one: time to the first and the last byte, and growth of the server."""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx

from ..clips import Clip, CodedClip
from ..macs import Direction
from ..memory import tree_bytes
from ..plan import DEFAULT_BANDWIDTH, DIRECTIONS
from ..results import Row
from ..table import Column, Table, length
from .one_file import post_file
from .servers import Server
from .trial import CALLS, SERVER_COLUMNS, Trial
from .uploads import write_ecdc, write_wav

KIND = "long"
TABLE = Table(
    [
        *SERVER_COLUMNS,
        Column("call", 10),
        Column("length", 6),
        Column("first byte s", 12, 3),
        Column("last byte s", 11, 3),
        Column("MiB above idle", 14, 0),
    ]
)
_WARM_SECONDS = 10


def rows(trial: Trial) -> Iterator[Row]:
    """Rows from short to long, so that memory kept after a long file does not count again."""
    for server in trial.servers:
        for direction in DIRECTIONS:
            post_file(server, CALLS[direction], _file(trial, server, direction, _WARM_SECONDS))
    idle = {server.name: tree_bytes(server.pid) for server in trial.servers}
    for seconds in sorted(trial.plan.long_lengths):
        for direction in DIRECTIONS:
            for server in trial.servers:
                refusal = trial.refusal(server, direction, seconds)
                if refusal is not None:
                    what = f"/{CALLS[direction]} of {length(seconds)} ({trial.model})"
                    trial.section.note(f"{server.name} is left out of {what}: {refusal}")
                    continue
                path = _file(trial, server, direction, seconds)
                try:
                    answer = post_file(server, CALLS[direction], path)
                except httpx.HTTPError as error:
                    trial.section.note(f"{server.name}, {length(seconds)}: {error}")
                    continue
                yield {
                    "kind": KIND,
                    "model": trial.model,
                    "server": server.name,
                    "call": CALLS[direction],
                    "seconds": seconds,
                    "first_byte_s": answer.first_byte,
                    "last_byte_s": answer.total,
                    "idle_bytes": idle[server.name],
                    "peak_above_idle_bytes": max(0, answer.peak - idle[server.name]),
                }


def _file(trial: Trial, server: Server, direction: Direction, seconds: float) -> Path:
    clip = Clip(trial.config, seconds)
    if direction == "encode":
        return write_wav(clip, trial.folder / "long.wav")
    coded = CodedClip(clip, DEFAULT_BANDWIDTH)
    return write_ecdc(coded, server.header_model, trial.folder / "long.ecdc")


def cells(row: Row) -> list[Any]:
    """A row as `TABLE` prints it."""
    return [
        row["model"], row["server"], row["call"], length(row["seconds"]), row["first_byte_s"],
        row["last_byte_s"], row["peak_above_idle_bytes"] / 2**20,
    ]  # fmt: skip
