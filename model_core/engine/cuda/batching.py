"""The number of rows of a batch on a device, and the items in each batch."""

import logging
import time
from collections.abc import Callable, Mapping, Sequence
from itertools import groupby
from operator import itemgetter
from statistics import median

import numpy as np
import torch

from ..protocol import DecodeItem, EncodedBlock, EncodeItem, Engine, Item, by_stream
from .capture import free_unused_memory

logger = logging.getLogger(__name__)

CHOICES = (8, 32, 128)
"""Far apart, so that a small error of measurement does not change the choice."""

ENOUGH = 0.8
"""Share of the highest rate that is enough: smaller batches have lower latency."""

MEMORY_SHARE = 0.4
"""The largest share of a device's memory for the batches of one model."""

_RUNS = 5


def choose_rows(make: Callable[[int], Engine], choices: Sequence[int] = CHOICES) -> int:
    """The fewest rows of `choices` (in rising order) with nearly the highest rate.

    `make(rows)` makes an engine. A choice that does not fit in memory, or takes more than its
    share, is skipped. Raises what the first choice raises.
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
    """The fewest rows with `ENOUGH` of the highest rate; `rates` is in rising order of rows."""
    return next(rows for rows, rate in rates.items() if rate >= ENOUGH * max(rates.values()))


def _measured(make: Callable[[int], Engine], rows: int) -> tuple[float, float]:
    """Blocks per second through encoder and decoder, in full batches of different streams, and the
    share of the device's memory that this takes in addition to what is already in use."""
    engine = make(rows)
    rate, device = _rate(engine, rows), torch.device(engine.device)
    taken = _memory_share(device)
    del engine
    free_unused_memory()
    return rate, taken - _memory_share(device)


def _rate(engine: Engine, rows: int) -> float:
    """Blocks per second."""
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
    """The share of a CUDA device's memory that this process holds."""
    if device.type != "cuda":
        return 0.0
    total: int = torch.cuda.get_device_properties(device).total_memory
    return torch.cuda.memory_reserved(device) / total


def batches_of(items: Sequence[Item], rows: int, causal: bool) -> list[list[int]]:
    """The indices of the items in each batch of at most `rows` rows, in the order of the rows.

    A batch takes the first remaining block of each stream, then the second of each: batches are
    full, and the runs of blocks of one stream are short. Within a batch, the blocks of a stream
    are neighbours.
    """
    places = sorted(
        (depth, stream, number)
        for stream, numbers in enumerate(by_stream(items, causal))
        for depth, number in enumerate(numbers)
    )
    batches = [places[start : start + rows] for start in range(0, len(places), rows)]
    return [[number for _, _, number in sorted(batch, key=itemgetter(1))] for batch in batches]


def continuing(items: Sequence[Item], causal: bool) -> list[bool]:
    """For each row, whether it continues the row before it."""
    return [
        causal and row > 0 and items[row - 1].state is item.state for row, item in enumerate(items)
    ]


def longest_run(continues: Sequence[bool]) -> int:
    """The length of the longest run of rows of one stream, its first row included."""
    runs = [len(list(group)) for goes_on, group in groupby(continues) if goes_on]
    return 1 + max(runs, default=0)
