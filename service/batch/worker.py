"""A worker: one model on one device, its decoders, and several jobs at a time, so that reading,
decoding and writing go on while the networks run."""

import asyncio
import os
import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from typing import Any, BinaryIO, cast

from model_core.audio import FORMATS
from model_core.checkpoints import Registry, WeightSet
from model_core.cli.command import reason
from model_core.codec import Codec, Stored
from model_core.codec.work import CPU, Task
from model_core.engine import EngineOptions
from model_core.engine.choose import find_device
from model_core.errors import EncodecError

from ..decoder.memory import default_budget
from ..decoder.pool import DecoderPool
from ..inference.scheduler import Scheduler, SchedulerError
from .coding import Codes, Conversion, Made, compress, decode, decompress, encode, opened
from .parts import PartWriter, TableWriter, TarWriter
from .plan import Destination, Job
from .report import Outcome
from .sources import Item
from .store import Store

_STREAMS = 3  # on a CPU: one computes, one is read, one is written
_DEVICE_STREAMS, _MOST_STREAMS = 32, 64  # on a GPU: of a codec not known yet, and twice its rows
_LEAST_MEMORY = 512 << 20  # bytes, for a worker's decoders
_DEVICE_LOST = 3  # exit status


@dataclass(frozen=True)
class Setup:
    """All that a worker needs to know; it is sent to it."""

    destination: Destination
    conversion: Conversion
    weights: str
    """The value of `ENCODEC_WEIGHTS` with which the models are found."""
    device: str
    threads: int
    workers: int
    """On one machine: they share its memory."""
    columns: tuple[str, ...] = ()
    """Of a table."""
    backend: str | None = None
    """See `EngineOptions`."""


class Worker:
    """Call `start` first. Everything runs on one event loop."""

    def __init__(self, setup: Setup):
        self._setup = setup
        self._store = Store(setup.destination.url)
        self._registry = Registry(setup.weights)
        self._codecs: dict[tuple[str, str | None], asyncio.Task[Codec]] = {}
        memory = max(_LEAST_MEMORY, default_budget() // setup.workers)
        self._decoders = DecoderPool(max_memory=memory)
        self._running: set[asyncio.Task[Any]] = set()
        self.audio_seconds = 0.0
        """Done so far, of unfinished jobs too."""

    async def start(self) -> int:
        """Load the model; returns how many jobs it does well at a time.

        Raises `EncodecError`, `OSError` and `ValueError` where it cannot work.
        """
        setup = self._setup
        device = await asyncio.to_thread(find_device, setup.device)
        self._device = device
        threads = setup.threads if device == CPU else 1
        self._scheduler = Scheduler(threads, device, _Unobserved(), on_death=_die)
        self._scheduler.start()
        await self._decoders.start()
        self._streams = _STREAMS if device == CPU else _DEVICE_STREAMS
        if setup.conversion.model is not None:
            codec = await self._codec_of(setup.conversion.model, setup.conversion.coding.lm)
            await asyncio.to_thread(codec.warm_up)
            if device != CPU:
                self._streams = min(_MOST_STREAMS, 2 * codec.encode_task.max_batch)
        return self._streams

    async def close(self) -> None:
        """End the decoders and the queue, and what is being done."""
        await self.abandon()
        await self._decoders.close()
        if hasattr(self, "_scheduler"):
            await self._scheduler.stop()

    async def abandon(self) -> None:
        """Leave what is being done, without a trace; who waits for it gets `CancelledError`."""
        for task in self._running:
            task.cancel()
        if self._running:
            await asyncio.wait(self._running)

    async def do(self, job: Job) -> list[Outcome]:
        """Make the job's output; an outcome for each item. Raises `SchedulerError` where this
        worker cannot go on."""
        began = time.monotonic()
        task = asyncio.create_task(self._output(job))
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        try:
            return await task
        except SchedulerError:
            raise
        except Exception as error:  # noqa: BLE001  of one job, whatever a file system raises
            spent = time.monotonic() - began
            return [Outcome(i.path, "failed", reason(error), spent) for i in job.items]

    async def _output(self, job: Job) -> list[Outcome]:
        if self._setup.destination.kind == "files":
            return [await self._file(job)]
        return await self._part(job)

    async def _file(self, job: Job) -> Outcome:
        (item,) = job.items
        began = time.monotonic()
        with ExitStack() as stack:
            out = stack.enter_context(self._store.writing(job.target))
            made = await self._convert(item, out)
            await asyncio.to_thread(stack.pop_all().close)
        return _done(item, made, job, began)

    async def _part(self, job: Job) -> list[Outcome]:
        """The items in their order, a few of them at a time."""
        outcomes: list[Outcome] = []
        waiting = iter(job.items)
        running: list[tuple[Item, float, asyncio.Task[tuple[Made, Any]]]] = []
        with ExitStack() as stack:
            part = self._writer(stack.enter_context(self._store.writing(job.target)))
            try:
                while True:
                    while len(running) < self._streams and (item := next(waiting, None)):
                        task = asyncio.create_task(self._result(item))
                        running.append((item, time.monotonic(), task))
                    if not running:
                        break
                    item, began, task = running.pop(0)
                    outcome, result = await self._outcome(item, began, task, job)
                    outcomes.append(outcome)
                    made = None if result is None else result[0]
                    file = None if result is None else result[1]
                    await asyncio.to_thread(
                        part.add, item, made, outcome.reason if result is None else None, file
                    )
            finally:
                for _, _, task in running:
                    task.cancel()
                await asyncio.gather(*(task for _, _, task in running), return_exceptions=True)
            await asyncio.to_thread(part.close)
            await asyncio.to_thread(stack.pop_all().close)
        return outcomes

    async def _outcome(
        self, item: Item, began: float, task: asyncio.Task[tuple[Made, Any]], job: Job
    ) -> tuple[Outcome, tuple[Made, Any] | None]:
        try:
            result = await task
        except SchedulerError:
            raise
        except Exception as error:  # noqa: BLE001  of one item, whatever a file system raises
            spent = time.monotonic() - began
            return Outcome(item.path, "failed", reason(error), spent, target=job.target), None
        return _done(item, result[0], job, began), result

    def _writer(self, out: BinaryIO) -> PartWriter:
        conversion = self._setup.conversion
        if self._setup.destination.kind == "tar":
            return TarWriter(out, FORMATS[conversion.output].suffix)
        about = {"model": conversion.model or "", "bandwidth": f"{conversion.coding.bandwidth:g}"}
        return TableWriter(out, self._setup.columns, about)

    async def _result(self, item: Item) -> tuple[Made, Any]:
        """Of an item of a part: its file or its codes."""
        if self._setup.destination.kind == "tar":
            file = cast(BinaryIO, tempfile.TemporaryFile())  # noqa: SIM115  the writer's, then
            return await self._convert(item, file), file
        codes = await self._codes(item)
        return codes.made, codes

    async def _convert(self, item: Item, out: BinaryIO) -> Made:
        conversion, runner = self._setup.conversion, self._scheduler.stream()
        coding = conversion.coding
        if item.compressed:
            async with opened(item) as stored:
                codec = await self._codec_for(stored)
                return await decompress(stored, codec, conversion, runner, out, self._advance)
        codec = await self._codec_of(_required(conversion.model), coding.lm)
        return await compress(item, codec, coding, self._decoders, runner, out, self._advance)

    async def _codes(self, item: Item) -> Codes:
        conversion, runner = self._setup.conversion, self._scheduler.stream()
        coding = conversion.coding
        if item.compressed:
            async with opened(item) as stored:
                return await decode(stored, await self._codec_for(stored), runner, self._advance)
        codec = await self._codec_of(_required(conversion.model), coding.lm)
        return await encode(item, codec, coding, self._decoders, runner, self._advance)

    async def _codec_for(self, stored: Stored) -> Codec:
        return await self._codec_of(stored.model, stored.lm)

    async def _codec_of(self, model: str, lm: bool) -> Codec:
        """The codec that headers call `model`, loaded once. Raises `EncodecError`."""
        weights = await asyncio.to_thread(self._registry.find_exact, model)
        key = (weights.header_name, weights.lm_header_name if lm else None)
        if key not in self._codecs:
            self._codecs[key] = asyncio.create_task(asyncio.to_thread(self._load, weights, lm))
        return await asyncio.shield(self._codecs[key])

    def _load(self, weights: WeightSet, lm: bool) -> Codec:
        language_model = self._registry.fetch_lm(weights) if lm else None
        options = EngineOptions(self._setup.backend, threads=self._setup.threads, shared=True)
        return Codec.from_weights(weights, language_model, self._device, options)

    def _advance(self, seconds: float) -> None:
        self.audio_seconds += seconds


class _Unobserved:
    """A queue's observer that looks at nothing."""

    def queue_depth(self, depth: int) -> None:
        pass

    def batch_started(self, task: Task, waited: list[float]) -> None:
        pass

    def batch_done(self, task: Task, audio: float, seconds: float) -> None:
        pass


def _die() -> None:
    """The device is lost: whoever started this worker does its jobs elsewhere."""
    os._exit(_DEVICE_LOST)


def _done(item: Item, made: Made, job: Job, began: float) -> Outcome:
    warnings = "; ".join(warning.text for warning in made.warnings) or None
    spent = time.monotonic() - began
    return Outcome(item.path, "done", warnings, spent, made.seconds, job.target)


def _required(model: str | None) -> str:
    if model is None:
        raise EncodecError("no model was chosen: the source had no audio when it was listed")
    return model
