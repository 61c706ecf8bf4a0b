"""The picture: results of today, and files from before the service was measured for each model."""

from pathlib import Path

import pytest

from benchmarks.machine import this_machine
from benchmarks.plot import PlotError, loads_by_model, write_plot
from benchmarks.results import Results, Row, Section

pytest.importorskip("matplotlib")
OLD = {"kind": "load", "server": "ours", "clients": 1, "audio_seconds_per_second": 30.0, "p99": 0.2}


def service(*rows: Row) -> Section:
    return Section(this_machine("torch"), list(rows))


def at_48_khz(server: str) -> Row:
    return {**OLD, "model": "encodec_48khz", "server": server}


def test_rows_without_a_model_are_of_the_one_at_24_khz() -> None:
    other = {"kind": "long", "server": "ours"}
    rows = [OLD, at_48_khz("ours"), other, {**OLD, "model": "encodec_24khz", "clients": 8}]
    found = loads_by_model(service(*rows))
    assert found == {"encodec_24khz": [rows[0], rows[3]], "encodec_48khz": [rows[1]]}


@pytest.mark.parametrize(
    "rows",
    [[OLD], [OLD, at_48_khz("ours"), {**at_48_khz("plain wrapper"), "p99": None}]],
    ids=["old", "both models"],
)
def test_each_model_has_its_panels(rows: list[Row], tmp_path: Path) -> None:
    path = tmp_path / "plot.png"
    write_plot(Results({"service": service(*rows)}), path)
    header = path.read_bytes()[:24]
    assert header.startswith(b"\x89PNG")
    height = int.from_bytes(header[20:24], "big")
    assert height == pytest.approx(130 * 2.7 * len({row.get("model") for row in rows}), abs=2)


def test_nothing_to_draw(tmp_path: Path) -> None:
    with pytest.raises(PlotError, match="neither"):
        write_plot(Results({"service": service({"kind": "soak"})}), tmp_path / "none.png")
