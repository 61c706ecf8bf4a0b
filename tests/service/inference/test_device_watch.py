"""A device that hangs or dies ends the service, whether it is busy or idle."""

import asyncio
import threading
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
import torch

from model_core.codec import Work
from model_core.codec.work import CPU
from service.app import create_app
from service.inference import device_watch
from service.inference.device_watch import device_probe
from service.inference.scheduler import Scheduler, SchedulerError
from service.settings import Settings
from tests.service.in_process import get, wait_for_answer
from tests.service.inference.queueing import CUDA, Gate, Seen, same, task

pytestmark = pytest.mark.anyio


@pytest.fixture
def _idle_soon(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device_watch, "IDLE_SECONDS", 0.05)


@asynccontextmanager
async def _watched(
    step_timeout: float = 60, probe: Callable[[], Work | None] = lambda: None
) -> AsyncIterator[tuple[Scheduler, asyncio.Event]]:
    """A queue with a device, and what is set when it dies."""
    died = asyncio.Event()
    scheduler = Scheduler(1, CUDA, Seen(), died.set, step_timeout, probe)
    scheduler.start()
    try:
        yield scheduler, died
    finally:
        await scheduler.stop()


def _on_device(function: Callable[[list[Any]], list[Any]]) -> Work:
    return Work(task(function, device=CUDA), None, 1.0)


async def test_a_batch_that_never_ends_fails_everything() -> None:
    never = threading.Event()

    def hang(items: list[Any]) -> list[Any]:
        never.wait(60)
        return items

    async with _watched(step_timeout=0.2) as (scheduler, died):
        gate = Gate()  # on the CPU
        works = [gate.work, *(_on_device(hang) for _ in range(4))]
        handed_in = asyncio.gather(*map(scheduler.submit, works), return_exceptions=True)
        for result in await asyncio.wait_for(handed_in, 20):
            assert isinstance(result, SchedulerError)
            assert not result.stopping
        assert died.is_set()
        assert scheduler.refusal is not None
        with pytest.raises(SchedulerError, match="device"):
            await scheduler.submit(_on_device(same))
        gate.opened.set()
    never.set()


async def test_batches_that_end_in_time_are_no_failure() -> None:
    async with _watched(step_timeout=1) as (scheduler, died):
        for _ in range(15):  # longer together than one may take
            await scheduler.submit(_on_device(lambda items: [threading.Event().wait(0.1)]))
        assert not died.is_set()
        assert scheduler.refusal is None


@pytest.mark.usefixtures("_idle_soon")
async def test_an_idle_device_is_probed_repeatedly_once_there_is_a_probe() -> None:
    tried: list[str] = []
    enough = threading.Event()

    def probe() -> Work | None:
        if not tried:  # the models are being loaded, say
            tried.append("not ready")
            return None
        return _on_device(note)

    def note(items: list[Any]) -> list[Any]:
        tried.append(threading.current_thread().name)
        if len(tried) == 4:
            enough.set()
        return items

    async with _watched(probe=probe) as (scheduler, died):
        assert await asyncio.to_thread(enough.wait, 20)
        assert scheduler.refusal is None
        assert not died.is_set()
    assert tried[0] == "not ready"
    assert all(name.startswith("device-worker") for name in tried[1:])


@pytest.mark.usefixtures("_idle_soon")
@pytest.mark.parametrize("error", [RuntimeError("lost"), torch.AcceleratorError("lost")])
async def test_a_device_that_dies_while_it_is_idle_is_noticed(error: Exception) -> None:
    def fail(items: list[Any]) -> list[Any]:
        raise error

    async with _watched(probe=lambda: _on_device(fail)) as (scheduler, died):
        await asyncio.wait_for(died.wait(), 20)
        assert scheduler.refusal is not None
        with pytest.raises(SchedulerError):
            await scheduler.submit(Work(task(same), None, 1.0))


@pytest.mark.usefixtures("_idle_soon")
async def test_a_probe_that_runs_out_of_memory_is_no_failure() -> None:
    tried = threading.Semaphore(0)

    def starve(items: list[Any]) -> list[Any]:
        tried.release()
        raise torch.OutOfMemoryError("others have it")

    async with _watched(probe=lambda: _on_device(starve)) as (scheduler, died):
        for _ in range(2):
            assert await asyncio.to_thread(tried.acquire, timeout=20)
        assert not died.is_set()
        assert scheduler.refusal is None


@pytest.mark.usefixtures("_idle_soon")
async def test_readiness_fails_when_the_device_is_lost(weights: Path) -> None:
    fatal = asyncio.Event()
    app = create_app(Settings(device="cpu", weights=str(weights), threads=1), fatal.set)

    def fail(items: list[Any]) -> list[Any]:
        raise torch.AcceleratorError("the device has fallen off the bus")

    app.state.scheduler = Scheduler(
        1, CUDA, app.state.metrics, fatal.set, probe=lambda: _on_device(fail)
    )
    async with app.router.lifespan_context(app):
        await asyncio.wait_for(fatal.wait(), 60)
        answer = await wait_for_answer(  # the models are ready; the device alone is lost
            app, "/health/ready", lambda answer: answer.json().get("code") != "starting"
        )
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await get(app, "/health/live")).status_code == 200


def test_the_probe_computes_a_sum_on_its_device() -> None:
    probe = device_probe(CPU)
    assert probe.task.run([probe.item], None) == [28]
    if not torch.cuda.is_available():
        gone = device_probe(CUDA)
        with pytest.raises((RuntimeError, AssertionError)):
            gone.task.run([gone.item], None)
