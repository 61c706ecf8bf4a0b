"""Which blocks share a batch, and in which order."""

import numpy as np

from model_core.engine import EncodeItem, StreamState
from model_core.engine.fixed.batching import batches_of, continuing, longest_run


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


def test_streams_share_the_rows_and_their_blocks_stand_together() -> None:
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
