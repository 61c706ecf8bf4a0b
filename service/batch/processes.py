"""Workers as processes of this machine.

A worker is spawned, not forked, and lives as long as its end of a pipe: it stops when the pipe is
closed, so none outlives the command, however that ends. Signals are for the command alone.
"""

import asyncio
import multiprocessing
import signal
import sys
from contextlib import suppress
from dataclasses import replace
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess

import structlog

from model_core.cli.command import reason
from model_core.process import quiet

from .dispatcher import Done, Dropped, EngineError, Event, Lost, Ready
from .plan import Job
from .worker import Setup, Worker

_SPAWN = multiprocessing.get_context("spawn")
_TELLING = 0.5  # s between two words on the progress
_STOPPING = 10.0  # s that a worker gets to stop

_READY, _DONE, _AUDIO, _REFUSED = "ready", "done", "audio", "refused"


class ProcessEngine:
    """So many workers, each of which is replaced when it dies."""

    def __init__(self, setup: Setup, devices: list[str]):
        """One worker for each of `devices`."""
        self._setup = setup
        self._workers: dict[int, tuple[SpawnProcess, Connection]] = {}
        self._devices: dict[int, str] = {}
        self._jobs: dict[int, Job] = {}
        self._audio: dict[int, float] = {}
        self._started = 0
        self._worked = False  # any of them, once
        for device in devices:
            self._start(device)

    def _start(self, device: str) -> None:
        ours, theirs = _SPAWN.Pipe()
        setup = replace(self._setup, device=device)
        process = _SPAWN.Process(target=_work, args=(theirs, setup), daemon=False)
        process.start()
        theirs.close()  # so that its end is seen when the worker ends
        number, self._started = self._started, self._started + 1
        self._workers[number], self._devices[number] = (process, ours), device

    def submit(self, worker: int, job: Job) -> None:
        """As `Engine`."""
        self._jobs[job.number] = job
        with suppress(OSError):  # it has died, which `wait` is about to find
            self._workers[worker][1].send(job)

    def wait(self, seconds: float) -> list[Event]:
        """As `Engine`."""
        numbers = {connection: number for number, (_, connection) in self._workers.items()}
        events: list[Event] = []
        for connection in wait(list(numbers), seconds):
            assert isinstance(connection, Connection)
            events += self._heard(numbers[connection], connection)
        return events

    def _heard(self, number: int, connection: Connection) -> list[Event]:
        try:
            kind, value = connection.recv()
        except (EOFError, OSError):
            return [self._lose(number)]
        if kind == _READY:
            self._worked = True
            return [Ready(number, value)]
        if kind == _REFUSED:
            return [self._drop(number, value)]
        if kind == _AUDIO:
            self._audio[number] = value
            return []
        job, outcomes = value
        return [Done(number, self._jobs.pop(job), outcomes)]

    def _lose(self, number: int) -> Lost:
        code = self._end(number)
        self._start(self._devices.pop(number))
        return Lost(number, f"a worker process ended with {_status(code)}")

    def _drop(self, number: int, reason: str) -> Dropped:
        """A worker that cannot start, on a device that is gone perhaps. Raises `EngineError` where
        none ever could, or none is left."""
        self._end(number)
        device = self._devices.pop(number)
        if not (self._worked and self._workers):
            raise EngineError(reason)
        return Dropped(f"a worker cannot work on {device}: {reason}")

    def _end(self, number: int) -> int:
        """Its exit code."""
        process, connection = self._workers.pop(number)
        connection.close()
        self._join(process)
        return process.exitcode or 0

    def audio_seconds(self) -> float:
        """As `Engine`."""
        return sum(self._audio.values())

    def close(self) -> None:
        """As `Engine`."""
        for _, connection in self._workers.values():
            connection.close()
        for process, _ in self._workers.values():
            self._join(process)

    def _join(self, process: SpawnProcess) -> None:
        process.join(_STOPPING)
        if process.exitcode is None:
            process.kill()
            process.join()


def _status(code: int) -> str:
    return f"signal {signal.Signals(-code).name}" if code < 0 else f"status {code}"


def _work(connection: Connection, setup: Setup) -> None:
    """The whole life of a worker process."""
    for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
        signal.signal(number, signal.SIG_IGN)
    log_to_stderr()
    with quiet():
        asyncio.run(_serve(connection, setup))


def log_to_stderr() -> None:
    """What decoders and queues log, if it is a warning or worse."""
    structlog.configure(
        wrapper_class=structlog.make_filtering_bound_logger(30),
        logger_factory=structlog.PrintLoggerFactory(sys.stderr),
    )


async def _serve(connection: Connection, setup: Setup) -> None:
    worker = None
    try:
        try:
            worker = Worker(setup)
            streams = await worker.start()
        except Exception as error:  # noqa: BLE001  whatever it was
            connection.send((_REFUSED, reason(error)))
        else:
            await _serve_with(worker, streams, connection)
    except* (OSError, EOFError):
        pass  # the command is gone, or wants no more
    finally:
        if worker is not None:
            await worker.close()


async def _serve_with(worker: Worker, streams: int, connection: Connection) -> None:
    connection.send((_READY, streams))
    async with asyncio.TaskGroup() as group:
        ended = asyncio.Event()

        async def do(job: Job) -> None:
            with suppress(asyncio.CancelledError):  # by `abandon`
                connection.send((_DONE, (job.number, await worker.do(job))))

        def hear() -> None:
            try:
                while connection.poll():
                    group.create_task(do(connection.recv()))
            except (EOFError, OSError):
                loop.remove_reader(connection.fileno())
                ended.set()

        loop = asyncio.get_running_loop()
        loop.add_reader(connection.fileno(), hear)
        telling = group.create_task(_tell(worker, connection))
        await ended.wait()
        telling.cancel()
        await worker.abandon()


async def _tell(worker: Worker, connection: Connection) -> None:
    told = 0.0
    while True:
        await asyncio.sleep(_TELLING)
        if worker.audio_seconds != told:
            told = worker.audio_seconds
            connection.send((_AUDIO, told))
