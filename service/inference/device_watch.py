"""Notices a device that no longer works: one that hangs, or that died while nobody used it.

Only what has to do with a device other than the CPU imports torch.
"""

import asyncio
import sys
from collections.abc import Awaitable, Callable
from typing import Any, NoReturn

import structlog

from model_core.codec.work import CPU, Task, Work

from .worker_queue import DeviceQueue

logger = structlog.get_logger(__name__)

IDLE_SECONDS = 30.0
"""After so long without work, the device is tried."""

_LOOK = 1.0  # s between looks
_PROBE_NUMBERS = 8


class DeviceError(Exception):
    """The device no longer works; only another process may be able to use it again."""


async def until_overdue(queue: DeviceQueue, limit: float) -> NoReturn:
    """Raises `DeviceError` once a batch has run for more than `limit` seconds."""
    while True:
        if queue.running_for() > limit:
            raise DeviceError(f"the device has not ended a batch in {limit:g} s")
        await asyncio.sleep(min(_LOOK, limit / 4))


async def until_it_fails(
    queue: DeviceQueue, probe: Callable[[], Work | None], run: Callable[[Work], Awaitable[Any]]
) -> NoReturn:
    """Whenever the device has been idle for a while, `run` a `probe` on it, if there is one; raises
    `DeviceError` once that fails. Want of memory is no failure: others may have taken it."""
    import torch

    while True:
        await asyncio.sleep(min(_LOOK, IDLE_SECONDS / 4))
        if queue.idle_for() < IDLE_SECONDS or (work := probe()) is None:
            continue
        try:
            await run(work)
        except torch.OutOfMemoryError as error:
            logger.warning("no memory to try the device", error=str(error))
        except Exception as error:
            raise DeviceError(f"the device failed while it was idle: {error}") from error


def describe(device: str) -> str:
    """What a GPU is, for people."""
    import torch

    memory = torch.cuda.get_device_properties(device).total_memory
    name = torch.cuda.get_device_name(device)
    return f"{name}, {memory >> 20} MiB, CUDA {torch.version.cuda}"


def device_memory(device: str) -> dict[str, int]:
    """Bytes of a device's memory: those that hold numbers, those that this process keeps for them,
    and all there are; nothing of a CPU, or before the device is used. Asks the device nothing."""
    if device == CPU:
        return {}
    import torch

    if not torch.cuda.is_initialized():
        return {}
    return {
        "allocated": torch.cuda.memory_allocated(device),
        "reserved": torch.cuda.memory_reserved(device),
        "total": torch.cuda.get_device_properties(device).total_memory,
    }


def is_lost(error: Exception) -> bool:
    """Whether a device answers nothing more in this process once `error` was raised."""
    torch = sys.modules.get("torch")
    return torch is not None and isinstance(error, torch.AcceleratorError)


def use_one_thread() -> None:
    """Have torch use one thread for what this one asks of it: sums then have one order."""
    import torch

    torch.set_num_threads(1)


def device_probe(device: str) -> Work:
    """The smallest work that shows whether a device works: a sum, computed there and copied back.
    It raises what torch raises, and `RuntimeError` for a wrong sum."""

    def run(items: list[Any], threads: int | None = None) -> list[Any]:
        import torch

        from model_core.engine.cuda.handover import handover

        with handover.of_a_batch():  # not while a graph is captured
            found = int(torch.arange(_PROBE_NUMBERS, device=device).sum().cpu())
        if found != sum(range(_PROBE_NUMBERS)):
            raise RuntimeError(f"{device} adds 0 to {_PROBE_NUMBERS - 1} up to {found}")
        return [found for _ in items]

    return Work(Task("probe", "none", 1, run, device), None, 0.0)
