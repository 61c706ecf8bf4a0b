"""Results: kept as JSON, read back, found by their values."""

from pathlib import Path

import pytest

from benchmarks.machine import this_machine
from benchmarks.results import Results, ResultsError, Section


def some_results() -> Results:
    speed = Section(this_machine("torch"), [{"model": "a", "times": [0.1, 0.25], "share": None}])
    speed.note("left out: ½ of it")
    return Results({"speed": speed, "memory": Section(this_machine("native"))})


def test_results_are_read_back_as_written(tmp_path: Path) -> None:
    results = some_results()
    path = tmp_path / "kept" / "results.json"
    results.writer(path)()
    assert Results.read(path) == results


def test_a_missing_file_is_empty_results(tmp_path: Path) -> None:
    assert Results.read(tmp_path / "none.json") == Results()


@pytest.mark.parametrize("text", ["", "[]", '{"speed": 1}', '{"speed": {"machine": {"cpu": 1}}}'])
def test_other_json_is_refused(text: str) -> None:
    with pytest.raises(ResultsError):
        Results.from_json(text)


def test_rows_are_found_by_their_values() -> None:
    section = Section(this_machine("torch"), [{"a": 1, "b": 1}, {"a": 1, "b": 2}, {"b": 1}])
    assert list(section.find(a=1)) == section.rows[:2]
    assert list(section.find(a=1, b=2)) == section.rows[1:2]


def test_a_note_is_kept_once() -> None:
    section = Section(this_machine("torch"))
    section.note("so")
    section.note("so")
    assert section.notes == ["so"]
