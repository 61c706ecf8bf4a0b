"""The report as a picture: rate against quality, a column for each kind of recording."""

from collections.abc import Mapping, Sequence
from importlib.util import find_spec
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING

from .errors import EvaluationError
from .report import Report, Row

if TYPE_CHECKING:
    from matplotlib.axes import Axes

SUFFIXES = (".png", ".svg", ".pdf")
_MEASURES = {
    "mel_db": "mel distance (dB, less is better)",
    "si_snr_db": "SI-SNR (dB)",
    "pesq": "PESQ",
    "stoi": "STOI",
    "visqol": "ViSQOL",
}
_CELL = 3.6, 2.6  # inches


def require_matplotlib() -> None:
    """Raises `EvaluationError` if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise EvaluationError("a plot needs matplotlib: pip install 'encodec-service[train]'")


def write_plot(report: Report, path: Path) -> None:
    """Draw to a file in the format of its suffix. Raises `EvaluationError` without
    matplotlib."""
    require_matplotlib()
    from matplotlib.figure import Figure

    rows = report.rows
    kinds = sorted({row.category for row in rows})
    measures = [m for m in _MEASURES if any(getattr(row, m) is not None for row in rows)]
    names = sorted({row.contender for row in rows})
    colours = {name: f"C{number}" for number, name in enumerate(names)}
    figure = Figure((_CELL[0] * len(kinds) + 1, _CELL[1] * len(measures)), layout="constrained")
    grid = figure.subplots(len(measures), len(kinds), squeeze=False)
    for line, measure in enumerate(measures):
        for column, kind in enumerate(kinds):
            of_kind = [row for row in rows if row.category == kind]
            _draw(grid[line][column], of_kind, measure, colours)
            grid[0][column].set_title(kind)
        grid[line][0].set_ylabel(_MEASURES[measure])
    lines = {line.get_label(): line for axes in grid.flat for line in axes.lines}
    figure.legend(
        list(lines.values()), list(lines), loc="outside lower center", ncols=min(4, len(lines))
    )
    figure.savefig(path, dpi=120)


def _draw(axes: "Axes", rows: Sequence[Row], measure: str, colours: Mapping[str, str]) -> None:
    by_contender = sorted(rows, key=lambda row: row.contender)
    for contender, group in groupby(by_contender, key=lambda row: row.contender):
        points = sorted(
            (row.kbps_written, value)
            for row in group
            if (value := getattr(row, measure)) is not None
        )
        if points:
            colour = colours[contender]
            rates, values = zip(*points, strict=True)
            axes.plot(rates, values, marker="o", markersize=4, color=colour, label=contender)
    if axes.lines:
        axes.set_xscale("log", base=2)
        axes.xaxis.set_major_formatter("{x:g}")
        axes.set_xlabel("kbps written")
        axes.grid(alpha=0.3)
    else:
        axes.set_axis_off()
