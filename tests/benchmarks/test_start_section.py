"""The section about starting: real processes with what they need to begin."""

from pathlib import Path

import pytest

from benchmarks import start_section
from benchmarks.machine import this_machine
from benchmarks.models import seeded_model
from benchmarks.results import Row, Section


def test_each_command_is_timed_beside_the_reference(tmp_path: Path) -> None:
    pytest.importorskip("encodec")
    model = seeded_model("encodec_24khz")
    rows: list[Row] = list(
        start_section._commands(model, tmp_path, 1, Section(this_machine("native")))
    )
    assert [row["contender"] for row in rows] == ["ours", "reference"]
    assert rows[0]["reference_over_ours"] > 1
    for row in rows:
        assert start_section.TABLE.line(start_section.cells(row)).startswith("encodec_24khz")
