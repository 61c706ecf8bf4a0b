"""The picture of the results: a panel for each model, with a bar for each measurement."""

import re
from pathlib import Path

import pytest

from benchmarks.machine import this_machine
from benchmarks.plot import PlotError, loads_by_model, write_plot
from benchmarks.results import Results, Row, Section

matplotlib = pytest.importorskip("matplotlib")
OLD = {"kind": "load", "server": "ours", "clients": 1, "audio_seconds_per_second": 30.0, "p99": 0.2}


def service(*rows: Row) -> Section:
    return Section(this_machine("torch"), list(rows))


def at_48_khz(server: str) -> Row:
    return {**OLD, "model": "encodec_48khz", "server": server}


def test_rows_that_name_no_model_count_for_the_24_khz_model() -> None:
    other = {"kind": "long", "server": "ours"}
    rows = [OLD, at_48_khz("ours"), other, {**OLD, "model": "encodec_24khz", "clients": 8}]
    found = loads_by_model(service(*rows))
    assert found == {"encodec_24khz": [rows[0], rows[3]], "encodec_48khz": [rows[1]]}


def drawn(results: Results, path: Path) -> list[str]:
    """The texts in the picture, in their order."""
    with matplotlib.rc_context({"svg.fonttype": "none"}):
        write_plot(results, path)
    return re.findall(r"<text[^>]*>([^<]*)</text>", path.read_text())


def test_each_model_has_panels_of_its_speed_and_its_waits(tmp_path: Path) -> None:
    slow = {**at_48_khz("plain wrapper"), "audio_seconds_per_second": 7.25, "p99": None}
    fast = {**at_48_khz("ours"), "audio_seconds_per_second": 12.5, "p99": 0.875}
    texts = drawn(Results({"service": service(OLD, fast, slow)}), tmp_path / "plot.svg")
    titles = [text.partition(",")[0] for text in texts if text.endswith("short clips")]
    assert titles == ["encodec_24khz"] * 2 + ["encodec_48khz"] * 2
    for bar in ("30", "0.2", "12.5", "7.25", "0.875"):
        assert bar in texts, bar
    assert {"ours", "plain wrapper"} <= set(texts)  # the legend


def test_a_model_without_measurements_has_no_panel(tmp_path: Path) -> None:
    texts = drawn(Results({"service": service(OLD)}), tmp_path / "plot.svg")
    assert not any("encodec_48khz" in text for text in texts)


def test_the_suffix_of_the_file_says_its_format(tmp_path: Path) -> None:
    write_plot(Results({"service": service(OLD)}), tmp_path / "plot.png")
    assert (tmp_path / "plot.png").read_bytes().startswith(b"\x89PNG")


def test_results_with_nothing_to_draw_are_refused(tmp_path: Path) -> None:
    with pytest.raises(PlotError, match="neither"):
        write_plot(Results({"service": service({"kind": "soak"})}), tmp_path / "none.png")
