"""Workers as actors of a Ray cluster, one for each CPU or GPU that it has.

Plain actors and not Ray Data: `docs/batch.md` says what was measured. The actors do the same jobs
by the same dispatcher as the processes of one machine. An actor that is lost with its node is not
restarted by Ray; another one is made as soon as there is room for it, on a node that has just come,
too.
"""

import os
import socket
import time
from dataclasses import replace
from typing import Any

from model_core.cli.command import reason

from .dispatcher import Done, EngineError, Event, Lost, Ready
from .plan import Job
from .processes import log_to_stderr
from .report import Outcome
from .worker import Setup, Worker

_LOOK = 2.0  # s between two looks at what the cluster has, and at what its actors have done
_CONNECTING = 10.0  # s
_STOPPING = 10.0  # s that actors get to stop


class _Actor:
    """A worker on a node. All methods run on one event loop."""

    def __init__(self, setup: Setup):
        log_to_stderr()
        self._worker = Worker(setup)

    async def start(self) -> int | str:
        """As `Worker.start`; the reason where it cannot work."""
        try:
            return await self._worker.start()
        except Exception as error:  # noqa: BLE001  whatever it was, other actors would meet it too
            return reason(error)

    async def do(self, job: Job) -> list[Outcome]:
        """As `Worker.do`."""
        return await self._worker.do(job)

    async def audio_seconds(self) -> float:
        """As `Worker`."""
        return self._worker.audio_seconds

    async def close(self) -> None:
        """As `Worker`."""
        await self._worker.close()


class RayEngine:
    """As many actors as the cluster has room for, or `workers`."""

    def __init__(self, setup: Setup, address: str | None, workers: int | None):
        """`address` None: the cluster that Ray finds, or else one on this machine. Raises
        `EngineError`."""
        os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
        try:
            import ray
        except ImportError as error:
            hint = "pip install 'encodec-service[ray]'"
            raise EngineError(f"--ray needs Ray ({hint}): {error}") from error
        self._ray = ray
        self._ours = not ray.is_initialized()
        if self._ours:
            if address is not None:
                _require_listener(address)
            try:
                ray.init(address, log_to_driver=False, logging_level="error")
            except (ConnectionError, RuntimeError, ValueError) as error:
                raise EngineError(f"no Ray cluster: {error}") from error
        self._most = workers
        if setup.device == "auto" and not ray.cluster_resources().get("GPU"):
            setup = replace(setup, device="cpu")
        self._resource = "CPU" if setup.device == "cpu" else "GPU"
        cpus = setup.threads if self._resource == "CPU" else 1
        gpus = 0 if self._resource == "CPU" else 1
        self._each = cpus if self._resource == "CPU" else gpus
        self._class = ray.remote(
            num_cpus=cpus, num_gpus=gpus, max_restarts=0, max_task_retries=0, max_concurrency=1000
        )(_Actor)
        self._setup = setup
        self._actors: dict[int, Any] = {}
        self._made = 0
        self._worked = False  # any of them, once
        self._calls: dict[Any, tuple[int, Job | None]] = {}
        """What is awaited: of which actor, and for which job; None for its start."""
        self._asked: dict[Any, int] = {}
        self._audio: dict[int, float] = {}
        self._looked = self._told = float("-inf")

    def submit(self, worker: int, job: Job) -> None:
        """As `Engine`."""
        self._calls[self._actors[worker].do.remote(job)] = worker, job

    def wait(self, seconds: float) -> list[Event]:
        """As `Engine`."""
        self._make_actors()
        if not self._calls:
            time.sleep(seconds)
            return []
        calls = list(self._calls)
        ended, _ = self._ray.wait(calls, num_returns=len(calls), timeout=0)
        if not ended:
            ended, _ = self._ray.wait(calls, num_returns=1, timeout=seconds)
        return [event for call in ended for event in self._ended(call)]

    def _ended(self, call: Any) -> list[Event]:
        if call not in self._calls:  # of an actor that was lost with another call
            return []
        worker, job = self._calls.pop(call)
        try:
            value = self._ray.get(call)
        except self._ray.exceptions.RayError as error:
            return self._lose(worker, f"a worker was lost: {str(error).strip().splitlines()[0]}")
        if job is not None:
            return [Done(worker, job, value)]
        if isinstance(value, int):
            self._worked = True
            return [Ready(worker, value)]
        if not self._worked:  # nor would others
            raise EngineError(value)
        return self._lose(worker, f"a worker cannot work: {value}")

    def _lose(self, worker: int, reason: str) -> list[Event]:
        actor = self._actors.pop(worker)
        self._ray.kill(actor)  # where only a call has failed
        self._calls = {call: what for call, what in self._calls.items() if what[0] != worker}
        self._looked = float("-inf")
        return [Lost(worker, reason)]

    def _make_actors(self) -> None:
        """As many as there is room for now."""
        now = time.monotonic()
        if now - self._looked < _LOOK:
            return
        self._looked = now
        room = int(self._ray.cluster_resources().get(self._resource, 0) // self._each)
        wanted = room if self._most is None else min(self._most, room)
        while len(self._actors) < wanted:
            number, self._made = self._made, self._made + 1
            actor = self._actors[number] = self._class.remote(self._setup)
            self._calls[actor.start.remote()] = number, None

    def audio_seconds(self) -> float:
        """As `Engine`; as of the last answers."""
        asked = list(self._asked)
        answered = self._ray.wait(asked, num_returns=len(asked), timeout=0)[0] if asked else []
        for call in answered:
            worker = self._asked.pop(call)
            try:
                self._audio[worker] = self._ray.get(call)
            except self._ray.exceptions.RayError:
                continue
        now = time.monotonic()
        if now - self._told < _LOOK:
            return sum(self._audio.values())
        self._told = now
        waiting = set(self._asked.values())
        for number, actor in self._actors.items():
            if number not in waiting:
                self._asked[actor.audio_seconds.remote()] = number
        return sum(self._audio.values())

    def close(self) -> None:
        """As `Engine`."""
        closing = [actor.close.remote() for actor in self._actors.values()]
        if closing:
            self._ray.wait(closing, num_returns=len(closing), timeout=_STOPPING)
        for actor in self._actors.values():
            self._ray.kill(actor)
        if self._ours:
            self._ray.shutdown()


def _require_listener(address: str) -> None:
    """Somebody listens at `host:port`: Ray itself would try for minutes. Raises `EngineError`."""
    host, _, port = address.rpartition("://")[2].rpartition(":")
    if not port.isdecimal():
        return  # `auto`, which Ray answers at once
    try:
        socket.create_connection((host.strip("[]"), int(port)), timeout=_CONNECTING).close()
    except (OSError, OverflowError) as error:
        raise EngineError(f"no Ray cluster at {address}: {reason(error)}") from error
