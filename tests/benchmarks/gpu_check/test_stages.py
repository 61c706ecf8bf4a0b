"""How the time of a run is divided among its stages."""

import pytest

from benchmarks.gpu_check.stages import NAMES, STAGES, Stage, chosen, share

FIRST, SECOND, THIRD = (Stage(name, "", 60, 20) for name in "abc")


def test_a_stage_gets_its_maximum_where_time_allows() -> None:
    assert share(FIRST, [SECOND, THIRD], 500) == 60


def test_the_minimum_of_later_stages_is_reserved() -> None:
    assert share(FIRST, [SECOND, THIRD], 70) == 30
    assert share(THIRD, [], 45) == 45


def test_too_little_time_is_divided_by_need() -> None:
    assert share(FIRST, [SECOND, THIRD], 30) == 10
    assert share(THIRD, [], 3) == 3


@pytest.mark.parametrize("seconds", [10, 90, 300, 500, 1000])
def test_all_stages_fit_even_if_each_uses_its_whole_share(seconds: float) -> None:
    left = seconds
    for number, stage in enumerate(STAGES):
        taken = share(stage, STAGES[number + 1 :], left)
        assert taken > 0
        left -= taken
    assert left >= -1e-9


def test_in_500_seconds_every_stage_gets_its_minimum() -> None:
    left = 500.0
    for number, stage in enumerate(STAGES):
        taken = share(stage, STAGES[number + 1 :], left)
        assert taken >= stage.least
        left -= taken


def test_stages_are_chosen_by_name_in_their_own_order() -> None:
    assert [stage.name for stage in chosen(["tests", "versions"])] == ["versions", "tests"]
    assert [stage.name for stage in chosen(NAMES)] == list(NAMES)
    with pytest.raises(ValueError, match="no stage nothing"):
        chosen(["nothing"])
