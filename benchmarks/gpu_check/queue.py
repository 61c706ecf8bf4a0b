"""The service's queue in front of the real codec, without HTTP: one stream and many."""

import asyncio
import hashlib
import importlib.util
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import TYPE_CHECKING

import numpy as np

from model_core.checkpoints.load import weights_of
from model_core.codec import Codec, Compressor, Task
from model_core.engine import EngineOptions

from ..clips import sound
from ..plan import DEFAULT_BANDWIDTH
from .check import MODELS, Check
from .report import Report

if TYPE_CHECKING:
    from service.inference.scheduler import Scheduler

MANY = 64
_PIECE_SECONDS = 10


class Heard:
    """Told by the queue what it does."""

    def __init__(self) -> None:
        self.batches: list[int] = []

    def queue_depth(self, depth: int) -> None:
        """Nothing is made of it."""

    def batch_started(self, task: Task, waited: list[float]) -> None:
        self.batches.append(len(waited))

    def batch_done(self, task: Task, audio: float, seconds: float) -> None:
        """Nothing is made of it."""


@asynccontextmanager
async def running(
    check: Check, observer: Heard, on_death: Callable[[], None] = lambda: None
) -> AsyncIterator["Scheduler"]:
    """A queue for the device, with its workers."""
    from service.inference.scheduler import Scheduler

    scheduler = Scheduler(1, str(check.device), observer, on_death)
    scheduler.start()
    try:
        yield scheduler
    finally:
        await scheduler.stop()


def run(check: Check, report: Report) -> None:
    if importlib.util.find_spec("structlog") is None:
        report.skipped("the queue", "structlog is not installed")
        return
    for name in MODELS:
        if report.in_time(name, 4):
            with report.part(name):
                _model(check, report, name)


def _model(check: Check, report: Report, name: str) -> None:
    began = time.perf_counter()
    rows = check.rows if check.quick else None  # else chosen by a measurement
    codec = Codec(
        weights_of(check.model(name)),
        device=str(check.device),
        options=EngineOptions(max_batch=rows, shared=True),
    )
    made = time.perf_counter()
    codec.warm_up()
    report.check(
        f"{name} made ready",
        codec.engine.captured is not False,
        f"batches of {codec.engine.max_batch} rows after {made - began:.1f} s,"
        f" warm after {time.perf_counter() - made:.1f} s, captured: {codec.engine.captured}",
        rows=codec.engine.max_batch,
    )
    alone = ""
    for streams, seconds in _loads(check):
        what = f"{name}, {streams} streams of {seconds} s"
        if not report.in_time(what, 2 + seconds / 600):
            continue
        with report.part(what):
            digest = asyncio.run(_load(check, report, codec, what, streams, seconds))
            short = seconds == _loads(check)[0][1]
            alone = alone or digest
            if streams > 1 and short:
                same = digest == alone
                report.check(f"{what}, as alone", same, "bytes equal" if same else "bytes DIFFER")


def _loads(check: Check) -> list[tuple[int, int]]:
    """How many streams at once, of how many seconds each."""
    if check.quick:
        return [(1, 4), (3, 4)]
    return [(1, 60), (MANY, 60), (1, 3600)]


async def _load(
    check: Check, report: Report, codec: Codec, what: str, streams: int, seconds: int
) -> str:
    """Row of a load; a hash of what the first stream got."""
    seen = Heard()
    async with running(check, seen) as scheduler:
        piece = _PIECE_SECONDS * codec.config.sample_rate
        audio = sound(codec.config.channels, piece, codec.config.sample_rate)

        async def stream() -> bytes:
            compressor = Compressor(codec, DEFAULT_BANDWIDTH, runner=scheduler.stream())
            left, parts = seconds * codec.config.sample_rate, []
            while left:
                taken = audio[:, :left]
                parts.append(await compressor.push(taken))
                left -= taken.shape[1]
            parts.append(await compressor.finish())
            return b"".join(parts)

        began = time.perf_counter()
        payloads = await asyncio.gather(*(stream() for _ in range(streams)))
        took = time.perf_counter() - began
    rate = streams * seconds / took
    mean = float(np.mean(seen.batches))
    equal = all(payload == payloads[0] for payload in payloads)
    report.check(
        what,
        equal,
        f"{rate:.0f} audio-seconds a second, {len(seen.batches)} batches of {mean:.1f} jobs"
        + ("" if equal else ", streams of the same audio got DIFFERENT bytes"),
        times_real_time=rate,
        batches=len(seen.batches),
        jobs_in_a_batch=mean,
    )
    return hashlib.sha256(payloads[0]).hexdigest()
