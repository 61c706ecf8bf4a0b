"""How many rows a batch has, and which blocks share one in which order."""

import weakref
from collections.abc import Callable

import numpy as np
import pytest
import torch

from model_core.engine import EncodeItem, Engine, EngineOptions, StreamState
from model_core.engine.cuda import CudaEngine, batching
from model_core.engine.cuda.batching import (
    batches_of,
    choose_rows,
    continuing,
    fewest_nearly_as_fast,
    longest_run,
)
from tests.model_core.engine.narrow import narrow_model


def _items(*counts: int) -> list[EncodeItem]:
    samples = np.zeros((1, 1), np.float32)
    states = [StreamState() for _ in counts]
    return [
        EncodeItem(samples, 1, False, state)
        for state, count in zip(states, counts, strict=True)
        for _ in range(count)
    ]


def test_a_lone_stream_fills_the_batches_in_its_order() -> None:
    assert batches_of(_items(7), 3, causal=True) == [[0, 1, 2], [3, 4, 5], [6]]


def test_streams_share_the_rows_and_blocks_of_one_are_neighbours() -> None:
    items = _items(4, 2, 1)  # numbers 0 1 2 3, 4 5, 6
    assert batches_of(items, 4, causal=True) == [[0, 1, 4, 6], [2, 3, 5]]
    first = [items[number] for number in (0, 1, 4, 6)]
    assert continuing(first, causal=True) == [False, True, False, False]


def test_segments_are_taken_as_they_come() -> None:
    items = _items(5)
    assert batches_of(items, 2, causal=False) == [[0, 1], [2, 3], [4]]
    assert continuing(items, causal=False) == [False] * 5


def test_the_longest_run_counts_the_row_it_starts_from() -> None:
    assert longest_run([False]) == 1
    assert longest_run([False, True, False, True, True, False]) == 3


def test_the_fewest_rows_that_are_nearly_as_fast_are_chosen() -> None:
    assert fewest_nearly_as_fast({8: 100.0, 32: 110.0, 128: 120.0}) == 8
    assert fewest_nearly_as_fast({8: 100.0, 32: 290.0, 128: 300.0}) == 32
    assert fewest_nearly_as_fast({8: 100.0, 32: 200.0, 128: 400.0}) == 128
    assert fewest_nearly_as_fast({8: 100.0, 32: 50.0}) == 8


def _maker(no_memory_from: int) -> Callable[[int], Engine]:
    model = narrow_model("encodec_24khz")

    def make(rows: int) -> Engine:
        if rows >= no_memory_from:
            raise torch.OutOfMemoryError("no room")
        return CudaEngine(model, "cpu", EngineOptions(max_batch=rows))

    return make


def test_row_counts_without_memory_are_left_out() -> None:
    assert choose_rows(_maker(no_memory_from=2), (1, 2, 4)) == 1
    assert choose_rows(_maker(no_memory_from=4), (1, 2, 4)) in (1, 2)
    with pytest.raises(torch.OutOfMemoryError):
        choose_rows(_maker(no_memory_from=1), (1, 2))


def test_memory_of_others_is_not_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor what the choice before has taken, which is given back first."""
    made: list[weakref.ref[Engine]] = []
    alive: list[int] = []
    make = _maker(no_memory_from=100)

    def noted(rows: int) -> Engine:
        engine = make(rows)
        made.append(weakref.ref(engine))
        alive.append(sum(reference() is not None for reference in made))
        return engine

    def share(device: torch.device) -> float:
        return 0.5 + 0.05 * sum(reference() is not None for reference in made)

    monkeypatch.setattr(batching, "_memory_share", share)
    choose_rows(noted, (1, 2, 4))
    assert alive == [1, 1, 1]
