"""The command: runs sections, prints rows as they come, saves them as JSON, draws them.

python -m benchmarks                       speed and memory, a few minutes
python -m benchmarks lm                    files with the language model
python -m benchmarks service               the service under load
python -m benchmarks start                 how long a command and the service take to start
python -m benchmarks all --full --save benchmarks/results/NAME.json --plot NAME.png
python -m benchmarks plot --save FILE --plot NAME.png     draw the results in FILE
"""

import argparse
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import httpx

from model_core.config import CONFIGS
from model_core.errors import EncodecError

from .contenders import NAMES, OURS, build
from .machine import Machine, this_machine
from .models import seeded_model
from .plan import DIRECTIONS, PRESETS, Plan
from .plot import PlotError, require_matplotlib, write_plot
from .results import Results, ResultsError, Section
from .sections import DEFAULT, PARTS
from .serving.servers import ServerError

_CHOSEN = (
    "models", "directions", "lengths", "threads", "bandwidths", "contenders", "runs", "budget",
    "lm_lengths", "clients", "duration", "long_lengths", "long_files", "long_seconds", "backend",
)  # fmt: skip


def main(arguments: Sequence[str] | None = None) -> int:
    """Returns the exit status: 0 done, 1 failed, 130 interrupted."""
    options = parser().parse_args(arguments)
    plan = plan_of(options)
    try:
        if options.plot is not None:
            require_matplotlib()
        results = Results() if options.save is None else Results.read(options.save)
        names = _names(options.sections)
        if names:
            machine = this_machine(build(OURS, seeded_model(plan.models[0]), plan.backend).backend)
            for name in names:
                _run(name, plan, machine, results, options.save)
        if options.plot is not None:
            write_plot(results, options.plot)
    except (PlotError, ResultsError, ServerError, EncodecError, httpx.HTTPError, OSError) as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


def plan_of(options: argparse.Namespace) -> Plan:
    """The preset with the choices of the command line."""
    preset = PRESETS["full" if options.full else "quick"]
    chosen = {name: getattr(options, name) for name in _CHOSEN}
    chosen["stressed_models"] = options.models
    return replace(preset, **{name: v for name, v in chosen.items() if v is not None})


def _names(sections: Sequence[str]) -> Sequence[str]:
    if "all" in sections:
        return list(PARTS)
    return [name for name in sections or DEFAULT if name != "plot"]


def _run(name: str, plan: Plan, machine: Machine, results: Results, path: Path | None) -> None:
    """Print the section's rows as they come, and save each at once."""
    part = PARTS[name]
    section = results.sections[name] = Section(machine)
    write = results.writer(path)
    print(f"{part.title}\n{machine.summary()}")
    table = None
    for row in part.run(plan, section):
        if part.table_of(row) is not table:
            table = part.table_of(row)
            print(f"\n{table.header()}")
        print(table.line(part.cells(row)), flush=True)
        section.rows.append(row)
        write()
    print("\n".join(["", *section.notes]), flush=True)
    write()


def _section(name: str) -> str:
    if name not in (*PARTS, "all", "plot"):
        raise argparse.ArgumentTypeError(f"no section {name!r}")
    return name


def parser() -> argparse.ArgumentParser:
    """The options; those not chosen are None and come from the preset."""
    options = argparse.ArgumentParser(
        prog="python -m benchmarks",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    options.add_argument(
        "sections", nargs="*", metavar="SECTION", type=_section,
        help=f"{', '.join(PARTS)}, all, or plot to measure nothing (default: {' '.join(DEFAULT)})",
    )  # fmt: skip
    options.add_argument("--full", action="store_true", help="everything; takes hours")
    options.add_argument("--save", type=Path, metavar="FILE", help="save the figures as JSON")
    options.add_argument(
        "--plot", type=Path, metavar="FILE", help="draw the figures: .png, .svg or .pdf"
    )
    options.add_argument("--backend", help="of our engine (default: its own choice)")
    options.add_argument("--models", choices=list(CONFIGS), nargs="+")
    options.add_argument("--directions", choices=DIRECTIONS, nargs="+")
    options.add_argument("--lengths", type=float, metavar="SECONDS", nargs="+")
    options.add_argument("--threads", type=int, metavar="N", nargs="+")
    options.add_argument("--bandwidths", type=float, metavar="KBPS", nargs="+")
    options.add_argument("--contenders", choices=NAMES, nargs="+")
    options.add_argument("--runs", type=int, help="rounds in which all take turns")
    options.add_argument(
        "--budget", type=float, help="seconds, after which a case gets no further round"
    )
    options.add_argument(
        "--lm-lengths", nargs="+", type=float, metavar="SECONDS", help="with the language model"
    )
    options.add_argument("--clients", type=int, metavar="N", help="of the service", nargs="+")
    options.add_argument("--duration", type=float, help="seconds that clients post clips")
    options.add_argument(
        "--long-lengths",
        nargs="+",
        type=float,
        metavar="SECONDS",
        help="lengths of files posted alone",
    )
    options.add_argument("--long-files", type=int, help="number of long files beside a clip")
    options.add_argument("--long-seconds", type=float, help="seconds of audio in each of them")
    return options
