"""The tests that need a GPU, one row each."""

import importlib.util

import pytest
import torch

from .check import Check
from .pack import ROOT
from .report import Report

TESTS = "tests/model_core/engine/test_cuda.py"

_LONGEST = 90  # seconds of one test


class _Rows:
    """A pytest plugin that makes a row of each test's result."""

    def __init__(self, report: Report, each_skipped: bool):
        self._report = report
        self._each_skipped = each_skipped
        self.skipped = 0

    def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
        if report.when != "call" and report.passed:
            return
        what, took = report.nodeid.partition("::")[2], f"{report.duration:.1f} s"
        if report.skipped:
            self.skipped += 1
        if report.skipped and self._each_skipped:
            reason = report.longrepr[-1] if isinstance(report.longrepr, tuple) else "skipped"
            self._report.skipped(what, str(reason).removeprefix("Skipped: "))
        if report.failed:
            said = report.longreprtext.strip().splitlines()
            errors = [line for line in said if line.startswith("E ")]
            why = errors[0].removeprefix("E ").strip() if errors else said[-1]
            self._report.failed(what, f"{took}: {why}", error=report.longreprtext)
        if report.passed:
            self._report.done(what, took, seconds=report.duration)

    def pytest_collectreport(self, report: pytest.CollectReport) -> None:
        if report.failed:
            text = str(report.longrepr)
            self._report.failed("collecting the tests", text.splitlines()[-1], error=text)


def run(check: Check, report: Report) -> None:
    if check.has_gpu and not torch.cuda.is_available():
        report.failed("the tests", "there is no CUDA device")
        return
    arguments = [str(ROOT / TESTS), f"--rootdir={ROOT}", "-p", "no:cacheprovider", "-v"]
    if importlib.util.find_spec("pytest_timeout"):
        arguments.append(f"--timeout={_LONGEST}")
    rows = _Rows(report, check.has_gpu)
    status = pytest.main(arguments, plugins=[rows])
    if rows.skipped and not check.has_gpu:
        report.skipped(f"{rows.skipped} tests", "needs CUDA")
    if status not in (pytest.ExitCode.OK, pytest.ExitCode.TESTS_FAILED):
        report.failed("the tests", f"pytest ended with {pytest.ExitCode(status).name}")
