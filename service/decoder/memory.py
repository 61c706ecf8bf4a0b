"""A budget of memory for all decoding children together."""

import os
from collections.abc import Iterable
from pathlib import Path

from .fork_client import Child

_PAGE = os.sysconf("SC_PAGE_SIZE")
_SHARE = 0.25  # of the memory of the machine or container
_CGROUP_LIMITS = (
    Path("/sys/fs/cgroup/memory.max"),
    Path("/sys/fs/cgroup/memory/memory.limit_in_bytes"),
)


def default_budget() -> int:
    """A quarter of what there is (bytes)."""
    return int(_SHARE * machine_memory())


def machine_memory() -> int:
    """The memory that the machine has, or the container may use (bytes)."""
    limits = [os.sysconf("SC_PHYS_PAGES") * _PAGE]
    for path in _CGROUP_LIMITS:
        try:
            limits.append(int(path.read_text()))
        except (OSError, ValueError):  # no such file, or `max`
            continue
    return min(limits)


def over_budget(children: Iterable[Child], base: int, budget: int) -> Child | None:
    """The largest child where all together have more than `budget` bytes, None otherwise.

    `base` bytes of each are those of the process that they were forked from, and count once.
    """
    sizes = [(max(0, private_bytes(child.pid) - base), child) for child in children]
    if base + sum(size for size, _ in sizes) <= budget:
        return None
    return max(sizes, key=lambda pair: pair[0])[1] if sizes else None


def private_bytes(pid: int) -> int:
    """Resident memory of a process that is no file's: its own, and what it shares with the process
    it was forked from. 0 when it is gone."""
    try:
        resident, shared = Path(f"/proc/{pid}/statm").read_text().split()[1:3]
    except (OSError, ValueError):
        return 0
    return (int(resident) - int(shared)) * _PAGE
