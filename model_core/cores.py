"""How many cores this process may use: those it may run on, within a container's quota."""

import os
from collections.abc import Iterator
from pathlib import Path, PurePosixPath

_CGROUPS = Path("sys/fs/cgroup")


def usable_cores(root: Path = Path("/")) -> int:
    """At least 1. `root` is where the system's files are.

    A quota (`docker run --cpus`, a limit in Kubernetes) leaves all cores visible and pauses the
    process once its time is used up: with more threads than it allows, all would pause at once.
    """
    if hasattr(os, "sched_getaffinity"):
        cores = len(os.sched_getaffinity(0))
    else:
        cores = os.cpu_count() or 1
    return max(1, min([cores, *(int(quota) for quota in _quotas(root))]))


def _quotas(root: Path) -> Iterator[float]:
    """In cores: the limits of the process's control group and of those around it, both versions."""
    groups = root / _CGROUPS
    for line in _read(root / "proc/self/cgroup").splitlines():
        number, _, rest = line.partition(":")
        controllers, _, path = rest.partition(":")
        group = PurePosixPath(path.lstrip("/"))
        for place in (group, *group.parents):
            if number == "0":
                limit = _read(groups / place / "cpu.max").split()
            elif "cpu" in controllers.split(","):
                folder = groups / controllers / place
                limit = [_read(folder / f"cpu.cfs_{what}_us") for what in ("quota", "period")]
            else:
                continue
            yield from _cores(limit)


def _cores(limit: list[str]) -> Iterator[float]:
    try:
        quota, period = map(int, limit)
    except ValueError:  # `max`, or no such files
        return
    if quota > 0 and period > 0:
        yield quota / period


def _read(path: Path) -> str:
    try:
        return path.read_text()
    except OSError:
        return ""
