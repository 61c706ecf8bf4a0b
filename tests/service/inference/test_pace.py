"""How fast work is done, and how much of it comes before a turn."""

import pytest

from service.inference.pace import Pace, audio_before_turn


def test_the_speed_is_known_after_a_second_of_work() -> None:
    pace = Pace()
    assert pace.speed is None
    with pace.batch(7.0):
        pass
    assert pace.speed is None


def test_batches_at_the_same_time_share_it_and_time_without_work_does_not_count() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    with pace.batch(30.0), pace.batch(10.0):
        now += 2
    assert pace.speed == pytest.approx(20)
    now += 1000
    assert pace.speed == pytest.approx(20)


def test_what_was_measured_lately_counts_most() -> None:
    now = 100.0
    pace = Pace(lambda: now)
    for audio in (100.0, 1.0):
        for _ in range(60):
            with pace.batch(audio):
                now += 1
    speed = pace.speed
    assert speed is not None
    assert 1 < speed < 5


def test_where_a_place_is_free_nothing_comes_before() -> None:
    assert audio_before_turn([5.0], [], places=2) == 0


def test_the_first_place_is_free_when_the_least_has_been_done_of_each() -> None:
    assert audio_before_turn([10.0, 30.0], [], places=2) == 20
    assert audio_before_turn([10.0, 30.0], [100.0], places=2) == 60  # then 20 more of both


def test_with_one_place_all_come_before() -> None:
    assert audio_before_turn([5.0], [10.0, 20.0], places=1) == 35


def test_requests_that_went_on_beyond_the_places_count_too() -> None:
    assert audio_before_turn([1.0, 2.0, 3.0], [], places=2) == 3 + 2
