"""`encodec-eval`: its steps and exit codes."""

import logging
import sys
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import torch
from tqdm import tqdm

from ..config import ModelConfig, config_of
from ..errors import EncodecError
from .arguments import Arguments, parse
from .clips import Clip, clips_of_cache, clips_of_folder, usable
from .conditions import CONDITIONS
from .errors import EvaluationError
from .examine import Plan, examine_all, examiner
from .files import write_csv, write_json
from .listening import ListeningFolder, choose
from .peers import PEERS
from .plot import require_matplotlib, write_plot
from .report import Report
from .scores import EXTRAS, missing_packages
from .table import intervals_table, table

DONE, FAILED, INTERRUPTED = 0, 1, 130

_FAILURES = (EncodecError, OSError, RuntimeError, MemoryError)  # torch raises RuntimeError


def main(argv: Sequence[str] | None = None) -> int:
    """Run `encodec-eval`; returns the exit code: 0 done, 1 failed, 130 interrupted. Wrong usage
    raises `SystemExit`, as argparse does."""
    arguments = parse(argv)
    logging.basicConfig(format="encodec-eval: %(message)s", level=logging.WARNING)
    torch.set_num_threads(1)
    try:
        _run(arguments)
    except _FAILURES as error:
        sys.stderr.write(f"encodec-eval: {' '.join(str(error).split()) or repr(error)}\n")
        return FAILED
    except KeyboardInterrupt:
        sys.stderr.write("encodec-eval: interrupted\n")
        return INTERRUPTED
    return DONE


def _run(arguments: Arguments) -> None:
    _check_outputs(arguments)
    config = config_of(arguments.model)
    listening = None
    if arguments.listen is not None:
        listening = ListeningFolder(arguments.listen, arguments.model, config.sample_rate)
    plan, notes = make_plan(arguments, config)
    names = examiner(plan).names
    if not names and not plan.peers:
        raise EvaluationError("; ".join(["there is nothing to compare", *notes]))
    clips = _clips(arguments, config)
    if listening is not None:
        clips = choose(clips, arguments.listen_clips)
    report = Report([*names, *plan.peers], notes=notes)
    quiet = not sys.stderr.isatty()
    examined = examine_all(plan, clips, arguments.jobs)
    for clip, found in zip(
        clips, tqdm(examined, total=len(clips), unit="clip", disable=quiet), strict=True
    ):
        report.add(found.measurements, found.usage, found.failures)
        if listening is not None and found.heard:
            listening.add(clip, found.heard)
    sys.stdout.write(table(report))
    if arguments.intervals:
        sys.stdout.write(intervals_table(report))
    if arguments.json:
        write_json(report, arguments.json)
    if arguments.csv:
        write_csv(report, arguments.csv)
    if arguments.plot:
        write_plot(report, arguments.plot)
    if listening is not None:
        listening.finish()


def _check_outputs(arguments: Arguments) -> None:
    """Check before hours of work. Raises `EvaluationError` for a file that cannot be written."""
    for path in (arguments.json, arguments.csv, arguments.plot):
        if path is not None:
            _check_writable(path)
    if arguments.plot is not None:
        require_matplotlib()


def _check_writable(path: Path) -> None:
    there = path.exists()
    try:
        path.open("a").close()
    except OSError as error:
        raise EvaluationError(f"{path} cannot be written: {error.strerror}") from None
    if not there:
        path.unlink()


def make_plan(arguments: Arguments, config: ModelConfig) -> tuple[Plan, list[str]]:
    """What to compare, and a line for everything that must be skipped."""
    given = arguments.bandwidths
    bandwidths = config.target_bandwidths if given is None else given
    rates = arguments.peer_rates or bandwidths
    notes, peers = [], []
    for peer in PEERS if arguments.peers else ():
        reason = peer.missing()
        low = [rate for rate in rates if rate < peer.lowest_kbps(config.channels)]
        if reason is not None:
            notes.append(f"{peer.name} is left out: {reason}")
            continue
        peers.append(peer.name)
        if low:
            shown = ", ".join(f"{rate:g}" for rate in low)
            least = peer.lowest_kbps(config.channels)
            notes.append(f"{peer.name} is left out at {shown} kbps: it begins at {least:g}")
    missing = missing_packages()
    for package in missing:
        if package != "visqol" or arguments.visqol:
            extra = EXTRAS[package]
            notes.append(f"{package} is not installed: pip install 'encodec-service[{extra}]'")
    if arguments.condition is not None:
        what, _ = CONDITIONS[arguments.condition]
        notes.append(f"all recordings are {arguments.condition} ({what})")
    plan = Plan(
        arguments.model,
        (arguments.weights, *arguments.against),
        bandwidths,
        tuple(peers),
        rates,
        arguments.lm,
        arguments.device,
        arguments.visqol and "visqol" not in missing,
    )
    return plan, notes


def _clips(arguments: Arguments, config: ModelConfig) -> list[Clip]:
    if arguments.cache is not None:
        found = clips_of_cache(arguments.cache, arguments.clip_seconds)
    elif arguments.folder is not None:
        found = clips_of_folder(arguments.folder, arguments.clip_seconds, arguments.category)
    clips = usable(found, config, arguments.seconds)
    clips = [replace(clip, condition=arguments.condition) for clip in clips]
    if not clips:
        raise EvaluationError(
            f"{arguments.cache or arguments.folder} holds no recording that can be evaluated"
        )
    return clips
