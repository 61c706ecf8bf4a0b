"""`encodec-batch`: what happens in which order, and with which exit code."""

import os
import time
from collections.abc import Sequence
from pathlib import Path

from model_core.checkpoints import Registry
from model_core.checkpoints.registry import WORDS
from model_core.cli.command import reason
from model_core.codec.work import CPU
from model_core.cores import usable_cores
from model_core.engine.choose import cuda_devices, find_device
from model_core.errors import EncodecError, WeightsUnavailableError
from model_core.process import ended_by_signals, quiet, say

from .arguments import Arguments, parse
from .coding import Conversion
from .dispatcher import Dispatcher, Engine
from .manifest import import_parquet
from .plan import Destination, Job, PartSize, Plan, destination_of, plan_files, plan_parts
from .progress import COMMAND, Progress
from .report import Outcome, Report
from .sources import Item, find_items
from .store import Store, full_url
from .worker import Setup

DONE, FAILED, INTERRUPTED = 0, 1, 130
_GOES_ON = "interrupted; the same command goes on from here"
_FAILURES = (EncodecError, OSError, RuntimeError, ValueError, LookupError, MemoryError)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command with `argv` (None: the process's own); returns the exit code.

    0 all done, 1 some failed, 130 interrupted. Wrong usage, `--help`, `--version` and other signals
    raise `SystemExit`.
    """
    arguments = parse(argv)
    try:
        with quiet(), ended_by_signals():
            return _run(arguments)
    except _FAILURES as error:
        say(reason(error), COMMAND)
        return FAILED
    except KeyboardInterrupt:
        say(_GOES_ON, COMMAND)
        return INTERRUPTED
    except SystemExit:  # SIGTERM and SIGHUP
        say(_GOES_ON, COMMAND)
        raise


def _run(arguments: Arguments) -> int:
    began = time.monotonic()
    destination = destination_of(full_url(arguments.destination))
    items = find_items(
        arguments.source,
        arguments.path_column,
        arguments.split_column,
        destination.url,
        arguments.overwrite,
    )
    conversion = _conversion(arguments, items)
    plan = _plan(arguments, destination, items, conversion)
    with Report(arguments.report) as report:
        for outcome in plan.outcomes:
            _record(report, outcome)
        if plan.jobs:
            _work(_setup(arguments, destination, conversion), arguments, plan.jobs, report)
        say(report.summary(time.monotonic() - began), COMMAND)
        return FAILED if report.count["failed"] else DONE


def _conversion(arguments: Arguments, items: Sequence[Item]) -> Conversion:
    """What to do with each item. The weights are chosen here, once: on several machines `auto`
    might mean several. Raises `WeightsUnavailableError` and `WeightsError`."""
    model = None
    if not all(item.compressed for item in items):
        weights = Registry(arguments.weights).find(arguments.model)
        model = weights.header_name
        if arguments.lm:
            Registry(arguments.weights).fetch_lm(weights)
            model = weights.lm_header_name
            if model is None:
                raise WeightsUnavailableError(f"{weights.header_name} has no language model here")
    return Conversion(
        arguments.coding,
        model,
        arguments.output,
        arguments.rescale,
        arguments.sample_rate,
        arguments.channels,
    )


def _plan(
    arguments: Arguments, destination: Destination, items: Sequence[Item], conversion: Conversion
) -> Plan:
    store = Store(destination.url)
    there = store.names()
    if destination.kind == "files":
        return plan_files(items, there, store.place, conversion, arguments.overwrite)
    if destination.kind == "parquet":
        import_parquet()
    size = PartSize(arguments.part_items, arguments.part_bytes)
    given = size, arguments.columns, arguments.overwrite
    return plan_parts(items, store, there, destination, conversion, *given)


def _setup(arguments: Arguments, destination: Destination, conversion: Conversion) -> Setup:
    weights = arguments.weights or os.environ.get("ENCODEC_WEIGHTS") or "auto"
    if weights not in WORDS:
        weights = str(Path(weights).expanduser().absolute())
    return Setup(
        destination,
        conversion,
        weights,
        arguments.device,
        arguments.threads,
        arguments.workers or usable_cores(),
        arguments.columns,
        os.environ.get("ENCODEC_BACKEND") or None,
    )


def _work(setup: Setup, arguments: Arguments, jobs: Sequence[Job], report: Report) -> None:
    progress = Progress(len(jobs), sum(job.size for job in jobs))

    def on_done(job: Job, outcomes: list[Outcome]) -> None:
        for outcome in outcomes:
            _record(report, outcome, progress)
        progress.done(job.size, sum(outcome.duration or 0 for outcome in outcomes))

    def on_lost(why: str) -> None:
        progress.say(f"{why}; others do its work again")

    engine = _engine(setup, arguments, len(jobs))
    try:
        Dispatcher(engine, jobs, on_done, progress.show, on_lost).run()
    finally:
        engine.close()
        progress.close()


def _engine(setup: Setup, arguments: Arguments, jobs: int) -> Engine:
    if arguments.ray is not None:
        from .cluster import RayEngine

        return RayEngine(setup, arguments.ray or None, arguments.workers)
    from .processes import ProcessEngine

    return ProcessEngine(setup, _devices(arguments, jobs))


def _devices(arguments: Arguments, jobs: int) -> list[str]:
    """One for each worker: every core, or every GPU unless one is named; never more than jobs.
    Raises `ValueError` and `LookupError`."""
    found = find_device(arguments.device)
    if found == CPU:
        devices = [CPU] * (arguments.workers or max(1, usable_cores() // arguments.threads))
    else:
        several = ":" not in arguments.device
        gpus = [f"cuda:{number}" for number in range(cuda_devices())] if several else [found]
        count = arguments.workers or len(gpus)
        devices = [gpus[number % len(gpus)] for number in range(count)]
    return devices[:jobs]


def _record(report: Report, outcome: Outcome, progress: Progress | None = None) -> None:
    report.add(outcome)
    if outcome.outcome != "failed":
        return
    if progress is None:
        say(outcome.line, COMMAND)
    else:
        progress.say(outcome.line)
