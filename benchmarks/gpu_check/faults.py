"""The effects of device errors: each fault in its own process.

python -m benchmarks.gpu_check.faults NAME [--quick]
"""

import importlib.util
import json
import subprocess
import sys

from .check import Check
from .faulty import FAULTS
from .report import Report


def run(check: Check, report: Report) -> None:
    for name, title in FAULTS.items():
        if not check.has_gpu:
            report.skipped(title, "needs CUDA")
        elif name == "queue" and importlib.util.find_spec("structlog") is None:
            report.skipped(title, "structlog is not installed")
        elif report.in_time(title, 5):
            with report.part(title):
                _fault(check, report, name, title)


def _fault(check: Check, report: Report, name: str, title: str) -> None:
    """Run a fault, which prints JSON: pairs of a sentence and whether it is as expected."""
    command = [sys.executable, "-m", f"{__package__}.faulty", name]
    command += ["--quick"] if check.quick else []
    said = subprocess.run(
        command, capture_output=True, text=True, timeout=min(30.0, max(1.0, report.left))
    )
    print(said.stdout, said.stderr, sep="\n")
    lines = [line for line in said.stdout.splitlines() if line.startswith("[")]
    for line in lines:
        sentence, right = json.loads(line)
        report.check(title, right, sentence)
    if not lines or said.returncode:
        why = (said.stderr.strip().splitlines() or ["it said nothing"])[-1]
        report.failed(title, f"ended with status {said.returncode}: {why}", error=said.stderr)
