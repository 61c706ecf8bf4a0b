"""The smallest work that shows whether a device still works."""

from typing import Any

import torch

from model_core.codec.work import FunctionTask, Work
from model_core.engine.cuda.handover import handover

_COUNT = 8


def device_probe(device: torch.device) -> Work:
    """A sum that is computed on the device and copied back. It raises what torch raises, and
    `RuntimeError` for a wrong sum."""

    def run(items: list[Any], threads: int | None = None) -> list[Any]:
        with handover.of_a_batch():  # not while a graph is captured
            found = int(torch.arange(_COUNT, device=device).sum().cpu())
        if found != sum(range(_COUNT)):
            raise RuntimeError(f"{device} adds 0 to {_COUNT - 1} up to {found}")
        return [found for _ in items]

    return Work(FunctionTask("probe", "none", 1, run, device), None, 0.0)
