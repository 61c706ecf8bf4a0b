"""Tables of figures as text."""

import pytest

from benchmarks.table import Column, Table, length


def test_cells_are_aligned_under_their_titles() -> None:
    table = Table([Column("who", 6), Column("time s", 8, 2), Column("kbps", 5, 1)])
    assert table.header() == "who      time s  kbps"
    assert table.line(["ours", 1.234, 6]) == "ours       1.23   6.0"
    assert table.line(["ours", None, 24.0]) == "ours          -  24.0"
    assert table.line(["ours", "12.00x", 3]) == "ours     12.00x   3.0"


def test_a_line_with_too_few_cells_is_refused() -> None:
    with pytest.raises(ValueError, match="zip"):
        Table([Column("one", 3)]).line(["a", "b"])


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.5, "0.5 s"), (1, "1 s"), (60, "60 s"), (90, "90 s"), (600, "10 min"), (3600, "1 h"),
     (5400, "90 min"), (36_000, "10 h")],
)  # fmt: skip
def test_lengths_of_audio_in_words(seconds: float, text: str) -> None:
    assert length(seconds) == text
