"""Timing: jobs take turns; ratios and percentiles of their times."""

import time

import pytest

from benchmarks.timing import Percentiles, paired_ratio, take_turns


def test_jobs_take_turns() -> None:
    seen: list[str] = []
    jobs = {name: lambda name=name: seen.append(name) for name in "abc"}
    times = take_turns(jobs, runs=3, budget=60)
    assert "".join(seen) == "abcabcabc"
    assert {name: len(t) for name, t in times.items()} == {"a": 3, "b": 3, "c": 3}


def test_no_round_begins_after_the_budget_and_a_begun_one_is_finished() -> None:
    times = take_turns({"a": lambda: time.sleep(0.02), "b": lambda: None}, runs=50, budget=0.01)
    assert [len(t) for t in times.values()] == [1, 1]


def test_a_disturbed_round_does_not_change_the_ratio() -> None:
    assert paired_ratio([2, 20, 2], [1, 10, 1]) == 2
    assert paired_ratio([2, 2, 9], [1, 1, 1]) == 2


def test_percentiles() -> None:
    found = Percentiles.of(range(1, 102))
    assert (found.p50, found.p99, found.most) == (51, 100, 101)
    assert Percentiles.of([3.0]) == Percentiles(3.0, 3.0, 3.0)
    with pytest.raises(ValueError, match="no times"):
        Percentiles.of([])
