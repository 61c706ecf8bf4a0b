"""One process or several (`torchrun`), and the device of each."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

import torch
from torch import distributed

from .. import distrib
from ..errors import SettingsError

PRECISIONS = ("auto", "float32", "bfloat16")
PATIENCE = timedelta(days=1)
"""How long processes wait for the first one, which decodes and codes all recordings."""


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Join the other processes if `torchrun` started this one; yields the device to train on.

    `device` is `auto`, `cpu`, `cuda` or `cuda:N`; with several processes `cuda` is the local
    rank's. CUDA processes use NCCL, the others gloo. Raises `SettingsError` for a missing device.
    """
    chosen = _device(device)
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield chosen
        return
    backend = "nccl" if chosen.type == "cuda" else "gloo"
    distributed.init_process_group(backend, timeout=PATIENCE)
    try:
        yield chosen
    finally:
        distributed.destroy_process_group()


def autocast(precision: str, device: torch.device) -> torch.autocast:
    """The autocast context for `precision`, one of `PRECISIONS`: bfloat16 or none."""
    low = precision == "bfloat16" or (precision == "auto" and device.type == "cuda")
    return torch.autocast(device.type, torch.bfloat16, enabled=low)


@contextmanager
def same_shapes(device: torch.device) -> Iterator[None]:
    """For work on a CUDA device with recurring shapes, like training steps.

    For each new shape of a convolution, cuDNN tries all its kernels and keeps the fastest, which
    takes seconds. LSTMs multiply in TF32.
    """
    if device.type != "cuda":
        yield
        return
    cudnn: Any = torch.backends.cudnn
    before = cudnn.benchmark, cudnn.rnn.fp32_precision
    try:
        cudnn.benchmark, cudnn.rnn.fp32_precision = True, "tf32"
        yield
    finally:
        cudnn.benchmark, cudnn.rnn.fp32_precision = before


@contextmanager
def first_one_first() -> Iterator[None]:
    """The first process runs the block before the others, which can then use its results."""
    if not is_first():
        distributed.barrier()
    yield
    if is_first() and distrib.is_distributed():
        distributed.barrier()


def is_first() -> bool:
    """Whether this is the process that writes."""
    return distrib.rank() == 0


def seed_of(*parts: int | str) -> int:
    """A seed that depends on `parts` alone, the same on every machine."""
    text = ":".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _device(device: str) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise SettingsError(f"there is no device {device!r}: auto, cpu, cuda or cuda:N") from error
    if chosen.type not in ("cpu", "cuda"):
        raise SettingsError(f"the device is auto, cpu, cuda or cuda:N, not {device!r}")
    if chosen.type == "cuda":
        if (chosen.index or 0) >= torch.cuda.device_count():
            raise SettingsError(
                f"there is no device {device!r}: {torch.cuda.device_count()} are found"
            )
        torch.cuda.set_device(chosen)
    return chosen
