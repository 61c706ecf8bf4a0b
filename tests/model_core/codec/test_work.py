"""Streams without an event loop: works run where they are awaited."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from model_core.codec import Work, iterate_now, run_now
from model_core.codec.work import INLINE, Task


def _task(max_batch: int) -> tuple[Task, list[list[Any]]]:
    batches: list[list[Any]] = []

    def double(items: list[Any], threads: int | None) -> list[Any]:
        batches.append(items)
        return [2 * item for item in items]

    return Task("encode", "m", max_batch, double), batches


@pytest.mark.parametrize(
    ("in_order", "expected"), [(False, [[0, 1], [2, 3], [4]]), (True, [[0, 1, 2, 3, 4]])]
)
def test_independent_works_are_batched_and_consecutive_ones_stay_together(
    in_order: bool, expected: list[list[int]]
) -> None:
    task, batches = _task(max_batch=2)
    works = [Work(task, item, 1.0) for item in range(5)]
    assert run_now(INLINE.run(works, in_order=in_order)) == [0, 2, 4, 6, 8]
    assert batches == expected


def test_no_works_have_no_results() -> None:
    assert run_now(INLINE.run([])) == []


def test_an_error_reaches_the_caller() -> None:
    async def fail() -> None:
        raise LookupError("no such thing")

    with pytest.raises(LookupError):
        run_now(fail())


def test_a_coroutine_that_waits_is_refused() -> None:
    with pytest.raises(RuntimeError, match="event loop"):
        run_now(asyncio.sleep(0))


def test_an_asynchronous_iterator_is_read_without_an_event_loop() -> None:
    async def numbers() -> AsyncIterator[int]:
        for number in range(3):
            yield number

    assert list(iterate_now(numbers())) == [0, 1, 2]
