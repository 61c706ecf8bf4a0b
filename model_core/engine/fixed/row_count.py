"""How many rows a batch should have on a device: measured, within the memory there is."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from statistics import median

import numpy as np
import torch

from ..items import DecodeItem, EncodedBlock, EncodeItem
from ..protocol import Engine
from .cuda_recorder import let_go

logger = logging.getLogger(__name__)

CHOICES = (8, 32, 128)
"""Far apart, so that a measurement that is a little off chooses the same."""

ENOUGH = 0.8
"""Of the most audio a second: fewer rows that reach this answer sooner."""

MEMORY_SHARE = 0.4
"""Most of a device's memory that the batches of one model may take."""

_RUNS = 5


def choose_rows(make: Callable[[int], Engine], choices: Sequence[int] = CHOICES) -> int:
    """The fewest rows of `choices`, in rising order, that code nearly as much audio a second as
    any; `make` makes an engine of so many rows.

    What finds no memory, or would take more than its share, is left out. Raises what the first
    choice raises.
    """
    rates: dict[int, float] = {}
    for rows in choices:
        try:
            rates[rows], memory = _measured(make, rows)
        except torch.OutOfMemoryError:
            if not rates:
                raise
            break
        if memory > MEMORY_SHARE / 4:  # the next choice takes about four times as much
            break
    chosen = fewest_nearly_as_fast(rates)
    logger.info("batches of %d rows; blocks a second by rows: %s", chosen, rates)
    return chosen


def fewest_nearly_as_fast(rates: Mapping[int, float]) -> int:
    """The fewest rows whose rate is `ENOUGH` of the highest; they come in rising order."""
    return next(rows for rows, rate in rates.items() if rate >= ENOUGH * max(rates.values()))


def _measured(make: Callable[[int], Engine], rows: int) -> tuple[float, float]:
    """Blocks a second through encoder and decoder, in full batches of different streams, and the
    share of the device's memory that this takes beside what others have taken."""
    engine = make(rows)
    rate, device = _rate(engine, rows), engine.device
    taken = _memory_share(device)
    del engine
    let_go()
    return rate, taken - _memory_share(device)


def _rate(engine: Engine, rows: int) -> float:
    """Blocks a second."""
    config = engine.config
    books = config.codebooks_for(6.0) if 6.0 in config.target_bandwidths else config.num_codebooks
    samples = np.zeros((config.channels, engine.block_samples), np.float32)
    codes = np.zeros((books, engine.block_frames), np.int64)
    block = EncodedBlock(codes, 1.0 if config.normalize else None)

    def run() -> float:
        start = time.perf_counter()
        engine.encode([EncodeItem(samples, books, last=False) for _ in range(rows)])
        engine.decode([DecodeItem(block, last=False) for _ in range(rows)])
        return time.perf_counter() - start

    run()  # chooses algorithms, captures graphs
    return rows / median(run() for _ in range(_RUNS))


def _memory_share(device: torch.device) -> float:
    """Of a CUDA device's memory, what this process has taken."""
    if device.type != "cuda":
        return 0.0
    total: int = torch.cuda.get_device_properties(device).total_memory
    return torch.cuda.memory_reserved(device) / total
