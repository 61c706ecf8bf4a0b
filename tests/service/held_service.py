"""The real server with routes that hold or kill a worker, or make the device's worker or the event
loop hang. A signal, `RELEASE`, ends the holding.

`main` takes the flags of encodec-serve; after a first word `with-device`, the workers are those for
a device, which take torch.
"""

import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import Any, NoReturn
from unittest.mock import patch

from fastapi import FastAPI, Request

from model_core.codec import Work
from model_core.codec.work import CPU, Task
from service import serve as program
from service.app import create_app
from service.inference.scheduler import Scheduler
from service.settings import Settings

RELEASE = signal.SIGUSR1
WITH_DEVICE = "with-device"
CUDA = "cuda:0"  # none is used: the workers for it run its tasks


def with_levers(
    with_device: bool,
    settings: Settings,
    on_fatal: Callable[[], None],
    on_ready: Callable[[], None],
) -> FastAPI:
    app = create_app(settings, on_fatal, on_ready)
    if with_device:
        app.state.scheduler = Scheduler(
            settings.worker_threads, CUDA, app.state.metrics, on_fatal, settings.step_timeout
        )
    held, released = threading.Event(), threading.Event()
    signal.signal(RELEASE, lambda *_: released.set())

    def hold(items: list[Any]) -> list[Any]:
        held.set()
        return [released.wait(60) for _ in items]

    def die(items: list[Any]) -> list[Any]:
        raise SystemExit("as a worker should not")

    def hang(items: list[Any]) -> list[Any]:
        never = threading.Lock()
        never.acquire()
        never.acquire()  # in C, forever
        return items

    async def run(
        request: Request,
        function: Callable[[list[Any]], list[Any]],
        device: str = CPU,
    ) -> Any:
        task = Task("encode", "encodec_24khz", 1, lambda items, threads: function(items), device)
        return await request.app.state.scheduler.submit(Work(task, None, 1.0))

    @app.post("/hold")
    async def hold_a_worker(request: Request) -> bool:
        return bool(await run(request, hold))

    @app.get("/held")
    async def is_held() -> bool:
        return held.is_set()

    @app.post("/die")
    async def kill_a_worker(request: Request) -> None:
        await run(request, die)

    @app.post("/hang")
    async def hang_the_device(request: Request) -> None:
        await run(request, hang, CUDA)

    @app.post("/die-and-block")
    async def die_and_block_the_event_loop() -> None:
        on_fatal()
        hang([])

    return app


def main(words: list[str]) -> NoReturn:
    with_device = words[0] == WITH_DEVICE
    made = partial(with_levers, with_device)
    with patch.multiple(program, create_app=made, PATIENCE=1.0):
        program.main(words[1:] if with_device else words)
