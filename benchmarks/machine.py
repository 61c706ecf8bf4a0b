"""The machine, the versions and the commit of a measurement."""

import os
import platform
import subprocess
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path

import torch

from .memory import total_memory

_THREADING = ("OMP_", "MKL_", "KMP_", "GOMP_", "MALLOC_", "LD_PRELOAD")


@dataclass(frozen=True)
class Machine:
    """What figures depend on, apart from the code."""

    cpu: str
    cores: int
    memory_gib: float
    system: str
    python: str
    torch: str
    date: str  # UTC, ISO 8601
    commit: str  # with a + if tracked files differ from it
    backend: str  # of our engine
    environment: dict[str, str] = field(default_factory=dict)  # threads and allocator

    def summary(self) -> str:
        """One line."""
        return (
            f"{self.cpu}, {self.cores} cores, {self.memory_gib:.0f} GiB, torch {self.torch},"
            f" Python {self.python}; {self.date}, commit {self.commit}, backend {self.backend}"
        )


def this_machine(backend: str) -> Machine:
    """This machine; `backend` is the name of our engine's backend."""
    return Machine(
        cpu=_cpu_model(),
        cores=cores(),
        memory_gib=round(total_memory() / 2**30, 1),
        system=f"{platform.system()} {platform.machine()}",
        python=platform.python_version(),
        torch=torch.__version__,
        date=datetime.now(UTC).isoformat(timespec="seconds"),
        commit=_commit(),
        backend=backend,
        environment={k: v for k, v in sorted(os.environ.items()) if k.startswith(_THREADING)},
    )


def cores() -> int:
    """The number of cores that this process may use."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


def _cpu_model() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor() or platform.machine()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _commit() -> str:
    root = Path(__file__).parent
    try:
        said = subprocess.run(
            ["git", "describe", "--always", "--exclude=*", "--dirty=+"],
            cwd=root, capture_output=True, text=True, check=True,
        )  # fmt: skip
    except (OSError, subprocess.CalledProcessError):
        return "unknown"
    return said.stdout.strip()
