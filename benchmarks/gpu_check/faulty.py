"""Processes that cause faults on a CUDA device and check the effects."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager

import numpy as np
import torch

from model_core.codec.work import Task, Work
from model_core.engine import EncodeItem, EngineOptions
from model_core.engine.cuda import CudaEngine, capture

from ..clips import sound
from .check import Check
from .queue import Heard, running

FAULTS = {
    "index": "an index out of range on the device",
    "queue": "the same in the queue",
    "full_at_capture": "no memory left when a graph is captured",
    "full_at_run": "no memory left when a captured step runs",
    "full_at_load": "no memory left for another model",
}

_LEFT = 64 * 2**20  # free bytes of a full device


def saw(sentence: str, right: bool) -> None:
    """Report a finding, and whether it is as expected."""
    print(json.dumps([sentence, right]), flush=True)


def _break(check: Check) -> object:
    """Cause a device-side assert, after which nothing works in this process."""
    few = torch.zeros(4, device=check.device)
    return float(few[torch.tensor([10_000], device=check.device)].sum())


def index(check: Check) -> None:
    _must_raise("it", lambda: _break(check))
    _must_raise("the next use of the device", check.wait)


def _must_raise(what: str, function: Callable[[], object]) -> None:
    try:
        function()
    except Exception as error:  # noqa: BLE001  which one is the question
        saw(f"{what} raises {_described(error)}", isinstance(error, torch.AcceleratorError))
    else:
        saw(f"{what} raises nothing", False)


def queue(check: Check) -> None:
    asyncio.run(_in_the_queue(check))


async def _in_the_queue(check: Check) -> None:
    died = asyncio.Event()
    task = Task("encode", "m", 1, lambda items, threads: [_break(check)], str(check.device))
    async with running(check, Heard(), died.set) as scheduler:
        try:
            await scheduler.submit(Work(task, None, 1.0))
        except Exception as error:  # noqa: BLE001  which one is the question
            saw(f"the work fails with {_described(error)}", True)
        else:
            saw("the work succeeds", False)
        try:
            await asyncio.wait_for(died.wait(), 5)
        except TimeoutError:
            saw("nobody is told that the device has died", False)
        else:
            saw("who ends the process is told", True)
        saw(f"the queue refuses work: {scheduler.refusal}", scheduler.refusal is not None)


def full_at_capture(check: Check) -> None:
    expected = _codes(_engine(check))
    engine = _engine(check)
    capture.RETRY_SECONDS = 0.0
    with _filled(check):
        _tried("capturing", engine.prepare)
        saw(f"captured: {engine.captured}", not engine.captured)
        _tried("a run", lambda: _codes(engine))
    _recovered(engine, expected)


def full_at_run(check: Check) -> None:
    engine = _engine(check)
    engine.prepare()
    expected = _codes(engine)
    with _filled(check):
        _tried("a run", lambda: _codes(engine))
    _recovered(engine, expected)


def full_at_load(check: Check) -> None:
    engine = _engine(check)
    engine.prepare()
    expected = _codes(engine)
    with _filled(check):
        _tried("another model", lambda: _codes(_engine(check, 4 * check.rows)))
        _tried("a run of the first", lambda: _codes(engine))
    _recovered(engine, expected)


def _tried(what: str, function: Callable[[], object]) -> None:
    """It may work or raise an out-of-memory error; anything else is a finding."""
    try:
        function()
    except torch.OutOfMemoryError as error:
        saw(f"{what} raises {_described(error)}", True)
    except Exception as error:  # noqa: BLE001  which one is the question
        saw(f"{what} raises {_described(error)}", False)
    else:
        saw(f"{what} raises nothing", True)


def _recovered(engine: CudaEngine, expected: np.ndarray) -> None:
    """Check that all works when there is memory again."""
    engine.prepare()
    same = np.array_equal(_codes(engine), expected)
    saw(f"then bits {'are equal' if same else 'DIFFER'}, captured: {engine.captured}",
        same and bool(engine.captured))  # fmt: skip


@contextmanager
def _filled(check: Check) -> Iterator[None]:
    """Inside, hardly any memory of the device is free."""
    held = []
    torch.cuda.synchronize(check.device)
    torch.cuda.empty_cache()
    size = 2**36
    while size >= 2**20:
        free, total = torch.cuda.mem_get_info(check.device)
        if free - size < _LEFT:
            size //= 2
            continue
        try:
            held.append(torch.empty(size, dtype=torch.uint8, device=check.device))
        except torch.OutOfMemoryError:
            size //= 2
    saw(f"{free / 2**20:.0f} MiB of {total / 2**30:.0f} GiB are left", free < 2 * _LEFT)
    try:
        yield
    finally:
        held.clear()
        torch.cuda.empty_cache()


def _engine(check: Check, rows: int | None = None) -> CudaEngine:
    model = check.model("encodec_24khz")
    return CudaEngine(model, check.device, EngineOptions(max_batch=rows or check.rows))


def _codes(engine: CudaEngine) -> np.ndarray:
    """Codes of one second."""
    config = engine.config
    piece = sound(config.channels, engine.block_samples, config.sample_rate)
    return engine.encode([EncodeItem(piece, config.num_codebooks, True)])[0].codes


def _described(error: Exception) -> str:
    kind = type(error)
    return f"{kind.__module__}.{kind.__name__}: {str(error)[:80]!r}"


if __name__ == "__main__":
    name, *rest = sys.argv[1:]
    if name not in FAULTS:
        raise SystemExit(f"no fault {name!r}; there is {', '.join(FAULTS)}")
    globals()[name](Check("cuda", "--quick" in rest))
    os._exit(0)  # a broken device may prevent a normal exit
