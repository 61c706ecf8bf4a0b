"""One long file: time to the first audio and to the last, and growth of the server."""

import threading
import time
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Self

import httpx

from ..memory import tree_bytes
from .servers import Server

_HEADER = 44  # bytes of a WAV before its samples
_EVERY = 0.05  # s between two samples of the memory


class Watch:
    """The peak memory of a process and its children while this is open.

    It counts only what two samples in a row have: a child that starts or ends during a sample makes
    shared memory count twice.
    """

    def __init__(self, pid: int):
        self._pid = pid
        self._closed = threading.Event()
        self._thread = threading.Thread(target=self._look, daemon=True)
        self.peak = 0

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self._closed.set()
        self._thread.join()

    def _look(self) -> None:
        before = 0
        while True:
            now = tree_bytes(self._pid)
            self.peak = max(self.peak, min(before, now))
            before = now
            if self._closed.wait(_EVERY):
                return


@dataclass(frozen=True)
class Answer:
    """Seconds to the first byte of the content (in a WAV, of its samples) and to the last."""

    first_byte: float
    total: float
    peak: int  # bytes of the server


def post_file(server: Server, call: str, path: Path) -> Answer:
    """Post a file to `/compress` or `/decompress`. Raises `httpx.HTTPError`."""
    first, size = None, 0
    skipped = _HEADER if call == "decompress" else 0
    with (
        Watch(server.pid) as watch,
        httpx.Client(timeout=None) as client,
        path.open("rb") as file,
    ):
        began = time.perf_counter()
        with client.stream("POST", server.call(call), files={"file": (path.name, file)}) as answer:
            answer.raise_for_status()
            for data in answer.iter_raw():
                size += len(data)
                if first is None and size > skipped:
                    first = time.perf_counter() - began
        total = time.perf_counter() - began
    return Answer(total if first is None else first, total, watch.peak)
