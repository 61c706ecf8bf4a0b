"""The memory that a contender takes for a length, each in its own process."""

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

from .memory import available_memory
from .plan import Case

_SHORT, _LONGER = 10.0, 30.0  # s; two lengths define a line
_MARGIN = 0.8  # of the available memory
_GIB = 2**30


class FootprintError(Exception):
    """The process failed."""


def footprint(contender: str, case: Case, backend: str | None = None) -> int:
    """Peak bytes above the idle, warm process. Raises `FootprintError`."""
    command = [
        sys.executable, "-m", "benchmarks.one_run", contender, case.model, case.direction,
        str(case.seconds), str(case.bandwidth), str(case.threads),
    ]  # fmt: skip
    run = subprocess.run(
        command if backend is None else [*command, backend],
        cwd=Path(__file__).parent.parent,
        env={**os.environ, "OMP_NUM_THREADS": str(case.threads)},
        capture_output=True,
        text=True,
        check=False,
    )
    if run.returncode:
        said = run.stderr.strip().splitlines() or ["nothing said"]
        raise FootprintError(f"{contender} ended with {run.returncode}: {said[-1]}")
    return int(run.stdout)


class Fit:
    """Whether a peer's memory for a length would fit, estimated from shorter lengths."""

    def __init__(self) -> None:
        self._lines: dict[tuple[str, Case], tuple[int, float]] = {}

    def refusal(self, contender: str, case: Case) -> str | None:
        """The reason to skip a peer for this case, or None."""
        try:
            needed = self.needed(contender, case)
        except FootprintError as error:
            return str(error)
        available = _MARGIN * available_memory()
        if needed <= available:
            return None
        return (
            f"it would take about {needed / _GIB:.1f} GiB;"
            f" {available / _GIB:.1f} GiB can be had on this machine"
        )

    def needed(self, contender: str, case: Case) -> float:
        """Bytes, by a line through two short lengths; 0 for short ones. Raises `FootprintError`."""
        if case.seconds <= _LONGER:
            return 0
        key = contender, replace(case, seconds=_LONGER)
        if key not in self._lines:
            short = footprint(contender, replace(case, seconds=_SHORT))
            longer = footprint(contender, key[1])
            self._lines[key] = longer, max(0, longer - short) / (_LONGER - _SHORT)
        least, slope = self._lines[key]
        return least + slope * (case.seconds - _LONGER)
