"""Results as a picture: speed against length, and the service under its clients."""

from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING

from model_core.config import CONFIGS, ENCODEC_24KHZ

from .contenders import NAMES
from .plan import DEFAULT_BANDWIDTH, DIRECTIONS
from .results import Results, Row, Section
from .table import length

if TYPE_CHECKING:
    from matplotlib.axes import Axes

_COLOURS = {
    "ours": "#1668a8",
    "reference": "#c8782a",
    "transformers": "#b5b5b5",
    "plain wrapper": "#7a9a3c",
}
_PANEL = 4.2, 2.7  # inches


class PlotError(Exception):
    """Nothing can be drawn."""


def require_matplotlib() -> None:
    """Raises `PlotError` if matplotlib is not installed."""
    if find_spec("matplotlib") is None:
        raise PlotError("a plot needs matplotlib: pip install 'encodec-service[train]'")


def write_plot(results: Results, path: Path) -> None:
    """Draw to a file in the format of its suffix.

    Raises `PlotError` without matplotlib and if there is nothing to draw.
    """
    require_matplotlib()
    from matplotlib.figure import Figure

    speed, service = (results.sections.get(name) for name in ("speed", "service"))
    models = [] if speed is None else [m for m in CONFIGS if any(speed.find(model=m))]
    loads = {} if service is None else loads_by_model(service)
    if not models and not loads:
        raise PlotError("there is neither speed nor service to draw")
    lines = len(models) + len(loads)
    figure = Figure((2 * _PANEL[0], lines * _PANEL[1]), layout="constrained")
    grid = figure.subplots(lines, 2, squeeze=False)
    for line, model in enumerate(models):
        for column, direction in enumerate(DIRECTIONS):
            if speed is not None:
                _draw_speed(grid[line][column], speed, model, direction)
    for (model, rows), (left, right) in zip(loads.items(), grid[len(models) :], strict=True):
        _draw_load(left, rows, model, "audio_seconds_per_second", "audio seconds a second")
        _draw_load(right, rows, model, "p99", "99 of 100 answered in (s)")
    machine = next(s.machine for s in (speed, service) if s is not None)
    shown = [axes.get_legend_handles_labels() for axes in grid.flat]
    legend = {
        text: handle
        for handles, texts in shown
        for handle, text in zip(handles, texts, strict=True)
    }
    figure.legend(
        legend.values(), legend, loc="outside lower center", ncols=len(legend), fontsize="x-small"
    )
    figure.suptitle(f"{machine.cpu}, {machine.date[:10]}", fontsize="small")
    figure.savefig(path, dpi=130)


def loads_by_model(service: Section) -> dict[str, list[Row]]:
    """Rows of the load under clients by model. Old rows without a model are of the 24 kHz model."""
    found: dict[str, list[Row]] = {}
    for row in service.find(kind="load"):
        found.setdefault(row.get("model", ENCODEC_24KHZ.name), []).append(row)
    return found


def _draw_speed(axes: "Axes", section: Section, model: str, direction: str) -> None:
    rows = list(section.find(model=model, direction=direction, bandwidth=DEFAULT_BANDWIDTH))
    threads = min((row["threads"] for row in rows), default=1)
    rows = [row for row in rows if row["threads"] == threads]
    lengths = sorted({row["seconds"] for row in rows})
    names = [name for name in NAMES if any(row["contender"] == name for row in rows)]
    width = 0.8 / max(1, len(names))
    for index, name in enumerate(names):
        mine = [row for row in rows if row["contender"] == name]
        places = [lengths.index(row["seconds"]) + index * width for row in mine]
        heights = [row["times_real_time"] for row in mine]
        bars = axes.bar(places, heights, width, color=_COLOURS[name], label=name)
        axes.bar_label(bars, fmt="%.3g", fontsize="x-small")
        for seconds in set(lengths) - {row["seconds"] for row in mine}:
            place = lengths.index(seconds) + index * width
            axes.text(place, 0, " left out", rotation=90, ha="center", fontsize="x-small")
    if rows:
        limit = max(row["limit_times_real_time"] for row in rows)
        axes.axhline(limit, color="black", linestyle="--", linewidth=0.8, label="float32 limit")
    middle = width * (len(names) - 1) / 2
    axes.set_xlim(-width, len(lengths) - 1 + width * len(names))  # also around skipped ones
    axes.set_xticks([i + middle for i in range(len(lengths))], [length(s) for s in lengths])
    axes.set_title(f"{model}, {direction}, {threads} thread{'s' * (threads > 1)}", fontsize="small")
    axes.set_ylabel("times real time")


def _draw_load(axes: "Axes", rows: list[Row], model: str, measure: str, title: str) -> None:
    servers = list(dict.fromkeys(row["server"] for row in rows))
    clients = sorted({row["clients"] for row in rows})
    width = 0.8 / len(servers)
    for index, server in enumerate(servers):
        mine = [row for row in rows if row["server"] == server and row[measure] is not None]
        places = [clients.index(row["clients"]) + index * width for row in mine]
        bars = axes.bar(
            places, [row[measure] for row in mine], width, color=_COLOURS[server], label=server
        )
        axes.bar_label(bars, fmt="%.3g", fontsize="x-small")
    middle = width * (len(servers) - 1) / 2
    axes.set_xticks([i + middle for i in range(len(clients))], [str(c) for c in clients])
    axes.margins(y=0.12)  # for the numbers above the bars
    axes.set_xlabel("clients")
    axes.set_ylabel(title)
    axes.set_title(f"{model}, POST /compress, short clips", fontsize="small")
