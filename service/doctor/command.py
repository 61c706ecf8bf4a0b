"""The command line of the doctor: one line for each finding, and an exit status.

Ends with 0 where nothing fails, 1 where something does, 2 for settings that cannot be read.
"""

import argparse
import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Callable, Iterable, Iterator
from dataclasses import asdict
from typing import NoReturn

from ..serve import configure_logs
from ..settings import Settings, parse_flags
from .choices import check_jobs, check_keys, check_settings
from .findings import Finding, fail, worst
from .machine import (
    check_cache_folder,
    check_clock,
    check_limits,
    check_memory,
    check_port,
    check_spool_folder,
    check_system,
)
from .trial import try_service

_COLORS = {"ok": "32", "warn": "33", "fail": "31"}


async def examine(settings: Settings) -> AsyncIterator[Finding]:
    """Everything, in the order in which it is printed."""
    for check in (
        lambda: check_settings(settings, os.environ),
        lambda: check_keys(settings),
        lambda: check_jobs(settings),
        check_system,
        lambda: check_port(settings),
        lambda: check_spool_folder(settings),
        lambda: check_cache_folder(settings),
        lambda: check_limits(settings),
        check_clock,
    ):
        for finding in _guarded(check):
            yield finding
    try:
        async for finding in try_service(settings):
            yield finding
    except Exception as error:  # noqa: BLE001  it is what was to be found
        yield _unexpected(error)
    for finding in _guarded(lambda: check_memory(settings)):
        yield finding


def _guarded(check: Callable[[], Iterable[Finding]]) -> Iterator[Finding]:
    """The findings of a check; where it fails itself, the others still run."""
    try:
        yield from check()
    except Exception as error:  # noqa: BLE001  it is what was to be found
        yield _unexpected(error)


def _unexpected(error: Exception) -> Finding:
    return fail("doctor", f"{type(error).__name__}: {error}", "report it: this is a fault of ours")


async def report(settings: Settings, as_json: bool) -> int:
    """Print what is found; returns the exit status."""
    findings = []
    async for finding in examine(settings):
        findings.append(finding)
        if not as_json:
            print(_line(finding), flush=True)  # noqa: T201
    status = worst(findings)
    if as_json:
        document = {"status": status, "findings": [asdict(finding) for finding in findings]}
        print(json.dumps(document, indent=2))  # noqa: T201
    return int(status == "fail")


def _line(finding: Finding) -> str:
    status = f"{finding.status:4}"
    if sys.stdout.isatty() and "NO_COLOR" not in os.environ:
        status = f"\x1b[{_COLORS[finding.status]}m{status}\x1b[0m"
    advice = f" -> {finding.advice}" if finding.advice else ""
    return f"{status}  {finding.check:9}  {finding.found}{advice}"


def main(arguments: list[str]) -> NoReturn:
    """Examine the machine with the settings of the flags and the environment, and end the
    process."""
    parser = argparse.ArgumentParser(
        prog="encodec-serve doctor",
        description="Say what is wrong with this machine: a line each with ok, warn or fail.",
        epilog="Takes the flags and variables of encodec-serve too, and looks at what they mean "
        "here. Exits with 1 where something fails.",
        allow_abbrev=False,
    )
    parser.add_argument("--json", action="store_true", help="the same for machines")
    own, flags = parser.parse_known_args(arguments)
    settings = parse_flags(flags)
    configure_logs("critical", settings.log_format)
    status = asyncio.run(report(settings, own.json))
    sys.stdout.flush()
    os._exit(status)  # as the service ends: threads that load or hang are not waited for
