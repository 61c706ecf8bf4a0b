"""Which items are the rows of which batch."""

from collections.abc import Sequence
from itertools import groupby

from ..items import Item, by_stream


def batches_of(items: Sequence[Item], rows: int, causal: bool) -> list[list[int]]:
    """The numbers of the items of each batch of at most so many rows, in the order of the rows.

    Of each stream the first block that is left, then of each the second: so batches are full, and
    the runs of blocks of one stream as short as can be. Within a batch these stand together.
    """
    numbered = [
        (depth, stream, number)
        for stream, numbers in enumerate(by_stream(items, causal))
        for depth, number in enumerate(numbers)
    ]
    numbered.sort()
    batches = [numbered[start : start + rows] for start in range(0, len(numbered), rows)]
    return [
        [number for _, _, number in sorted(batch, key=lambda place: (place[1], place[0]))]
        for batch in batches
    ]


def continuing(items: Sequence[Item], causal: bool) -> list[bool]:
    """For each row whether it goes on where the row before it ends."""
    before = [None, *items[:-1]]
    return [
        causal and last is not None and last.state is item.state
        for last, item in zip(before, items, strict=True)
    ]


def longest_run(continues: Sequence[bool]) -> int:
    """The most rows that follow one another, the one that they continue counted."""
    runs = [len(list(group)) for goes_on, group in groupby(continues) if goes_on]
    return 1 + max(runs, default=0)
