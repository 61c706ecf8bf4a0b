"""The report of a stage: rows written one by one, readable after the stage was killed."""

import json
from pathlib import Path

import pytest

from benchmarks.gpu_check.report import ROWS, Report, Row, read_rows
from benchmarks.gpu_check.summary import summary


def _fail(what: str) -> None:
    raise RuntimeError(what)


def test_rows_are_read_as_written(tmp_path: Path) -> None:
    report = Report("speed", tmp_path, 10)
    report.done("one", "3 ms", milliseconds=3)
    report.skipped("two", "needs CUDA")
    assert read_rows(tmp_path) == [
        Row("speed", "one", "3 ms", "done", {"milliseconds": 3}),
        Row("speed", "two", "needs CUDA", "skipped"),
    ]


def test_an_unfinished_line_is_ignored(tmp_path: Path) -> None:
    Report("speed", tmp_path, 10).done("one", "3 ms")
    with (tmp_path / ROWS).open("a") as file:
        file.write('{"stage": "speed", "wh')
    assert [row.what for row in read_rows(tmp_path)] == ["one"]


def test_a_missing_file_has_no_rows(tmp_path: Path) -> None:
    assert read_rows(tmp_path) == []
    assert summary([]).endswith("0 done, 0 failed, 0 skipped\n")


def test_an_error_is_a_failed_row_and_the_stage_goes_on(tmp_path: Path) -> None:
    report = Report("captures", tmp_path, 10)
    with report.part("a layer"):
        _fail("not permitted\nwhile capturing")
    report.done("the next", "1 ms")
    failed, done = read_rows(tmp_path)
    assert (failed.outcome, failed.figure) == ("failed", "RuntimeError: not permitted")
    assert "while capturing" in failed.values["error"]
    assert done.outcome == "done"


def test_an_error_of_the_device_ends_the_stage(tmp_path: Path) -> None:
    def dead() -> None:
        raise OSError("the device is gone")

    report = Report("captures", tmp_path, 10, dead)
    with pytest.raises(OSError, match="gone"), report.part("a layer"):
        _fail("assert on the device")
    assert [row.outcome for row in read_rows(tmp_path)] == ["failed"]


def test_a_check_that_does_not_hold_is_a_failed_row(tmp_path: Path) -> None:
    report = Report("bits", tmp_path, 10)
    report.check("alone", True, "equal")
    report.check("in company", False, "DIFFER")
    assert [row.outcome for row in read_rows(tmp_path)] == ["done", "failed"]


def test_a_part_without_time_left_is_skipped(tmp_path: Path) -> None:
    report = Report("bits", tmp_path, 0.0)
    assert not report.in_time("the rest", 1)
    assert read_rows(tmp_path)[0].outcome == "skipped"


def test_values_that_json_lacks_are_written_as_text(tmp_path: Path) -> None:
    Report("versions", tmp_path, 10).done("where", "here", path=Path("a"))
    assert json.loads((tmp_path / ROWS).read_text())["values"] == {"path": "a"}


def test_the_table_has_every_row_and_ends_with_the_failures() -> None:
    rows = [
        Row("captures", "first", "3 ms"),
        Row("captures", "last", "RuntimeError: " + 300 * "x", "failed"),
        Row("bits", "alone", "needs CUDA", "skipped"),
    ]
    lines = summary(rows).splitlines()
    assert lines[1].split() == ["captures", "first", "3", "ms"]
    assert "FAILED" in lines[2]
    assert max(map(len, lines)) < 230
    assert lines[-1] == "1 done, 1 failed, 1 skipped"
    assert lines[-4:-2] == ["failed:", lines[-3]]
    assert lines[-3].startswith("  captures: last: RuntimeError")
