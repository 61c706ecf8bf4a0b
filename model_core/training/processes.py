"""One process or several (`torchrun`), and the device of each."""

import hashlib
import os
from collections.abc import Iterator
from contextlib import contextmanager

import torch
from torch import distributed

from .. import distrib


@contextmanager
def process_group(device: str) -> Iterator[torch.device]:
    """Join the other processes where `torchrun` started this one; gives the device to train on.

    `device` is `auto`, `cpu`, `cuda` or `cuda:N`; with several processes `cuda` is the local
    rank's. NCCL joins CUDA processes, gloo the others.
    """
    chosen = _device(device)
    if "WORLD_SIZE" not in os.environ or int(os.environ["WORLD_SIZE"]) == 1:
        yield chosen
        return
    distributed.init_process_group("nccl" if chosen.type == "cuda" else "gloo")
    try:
        yield chosen
    finally:
        distributed.destroy_process_group()


def is_first() -> bool:
    """Whether this process is the one that writes."""
    return distrib.rank() == 0


def seed_of(*parts: int | str) -> int:
    """A seed that follows from `parts` alone, the same on every machine."""
    text = ":".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:7], "big")


def _device(device: str) -> torch.device:
    if device == "auto":
        device = "cuda" if torch.cuda.is_available() else "cpu"
    if device == "cuda":
        device = f"cuda:{os.environ.get('LOCAL_RANK', '0')}"
    chosen = torch.device(device)
    if chosen.type == "cuda":
        torch.cuda.set_device(chosen)
    return chosen
