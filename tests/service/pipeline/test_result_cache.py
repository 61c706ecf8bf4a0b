"""Kept results: how much memory they take, and for how long."""

from contextlib import ExitStack

import pytest

from service.http.problems import Problem, ProblemCode
from service.pipeline.result_cache import Result, ResultCache


class Clock:
    def __init__(self) -> None:
        self.now = 0.0

    def __call__(self) -> float:
        return self.now


def keep(cache: ResultCache, number: int, size: int = 10_000) -> Result | None:
    return cache.keep((number,), b"", bytes(size), {})


def test_memory_is_bounded_and_the_oldest_goes_first() -> None:
    cache = ResultCache(50_000, 60)
    for number in range(20):
        assert keep(cache, number)
        assert cache.bytes <= 50_000
    kept = [number for number in range(20) if cache.find((number,), b"")]
    assert kept == [16, 17, 18, 19]
    assert keep(cache, 99, size=12_500) is None  # more than a quarter
    assert cache.bytes <= 50_000


def test_names_take_memory_too() -> None:
    cache = ResultCache(50_000, 60)
    first, last = keep(cache, 0), keep(cache, 1)
    assert first is not None
    assert last is not None
    for number in range(100):
        cache.add_name(last, (f"name {number}", ""))
        assert cache.bytes <= 50_000
    assert cache.named(("name 0", "")) is last
    assert cache.named(("name 99", "")) is None
    assert cache.find((0,), b"") is None  # it made room


def test_a_result_in_use_is_not_dropped() -> None:
    cache = ResultCache(50_000, 60)
    results = [keep(cache, number) for number in range(4)]
    with ExitStack() as stack:
        for result in results:
            assert result is not None
            stack.enter_context(result.reading())
        assert keep(cache, 4) is None
        assert [cache.find((number,), b"") for number in range(4)] == results
    assert keep(cache, 4)
    assert cache.find((0,), b"") is None
    assert cache.bytes <= 50_000


def test_an_old_result_in_use_keeps_its_place_until_it_is_not() -> None:
    clock = Clock()
    cache = ResultCache(50_000, 60, clock)
    first = keep(cache, 0)
    assert first is not None
    size = cache.bytes
    with first.reading():
        clock.now = 61.0
        assert cache.find((0,), b"") is None
        assert keep(cache, 0) is None
        assert cache.bytes == size
    assert keep(cache, 0)
    assert cache.bytes == size


def test_results_are_forgotten_in_time() -> None:
    clock = Clock()
    cache = ResultCache(50_000, 60, clock)
    result = keep(cache, 0)
    assert result is not None
    cache.add_name(result, ("name", ""))
    clock.now = 60.0
    assert cache.find((0,), b"") is result
    clock.now = 60.1
    assert cache.named(("name", "")) is None
    assert cache.find((0,), b"") is None
    assert cache.bytes == 0
    assert keep(cache, 0)


def test_a_name_is_in_use_once() -> None:
    cache = ResultCache(50_000, 60)
    name = ("name", "")
    with cache.using(name):
        with pytest.raises(Problem) as refusal, cache.using(name):
            pass
        assert refusal.value.code is ProblemCode.IDEMPOTENCY_IN_USE
        with cache.using(("name", "another")):
            pass
    with cache.using(name):
        pass
