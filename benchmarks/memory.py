"""Memory of this process, of a process with its children, and of the machine; from /proc."""

import contextlib
from pathlib import Path

_PROC = Path("/proc")
_CGROUP = Path("/sys/fs/cgroup")


def resident(pid: int | None = None) -> int:
    """Bytes that a process has in memory now, this one unless another is named."""
    return _status("self" if pid is None else str(pid), "VmRSS")


def peak_resident() -> int:
    """The peak of `resident` since `forget_peak`."""
    return _status("self", "VmHWM")


def forget_peak() -> None:
    """Reset `peak_resident`; no effect if the kernel does not allow it."""
    with contextlib.suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5")


def tree_bytes(pid: int) -> int:
    """Bytes of a process and all its children; shared memory is counted once."""
    total, waiting = 0, [str(pid)]
    while waiting:
        process = waiting.pop()
        with contextlib.suppress(OSError):  # it may end at any time
            total += _proportional(process)
            for children in (_PROC / process / "task").glob("*/children"):
                waiting += children.read_text().split()
    return total


def total_memory() -> int:
    """Bytes of memory that this process may use at most."""
    return min(_meminfo("MemTotal"), _cgroup("memory.max") or 2**63)


def available_memory() -> int:
    """Bytes that can be allocated now without swapping."""
    free = _meminfo("MemAvailable")
    limit, used = _cgroup("memory.max"), _cgroup("memory.current")
    return free if limit is None or used is None else min(free, limit - used)


def _proportional(process: str) -> int:
    """A process's own pages and its share of the shared ones."""
    for line in (_PROC / process / "smaps_rollup").read_text().splitlines():
        if line.startswith("Pss:"):
            return 1024 * int(line.split()[1])
    return 0


def _status(process: str, field: str) -> int:
    return _kilobytes(_PROC / process / "status", field)


def _meminfo(field: str) -> int:
    return _kilobytes(_PROC / "meminfo", field)


def _kilobytes(path: Path, field: str) -> int:
    for line in path.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return 1024 * int(value.split()[0])
    raise LookupError(f"{path} has no {field}")


def _cgroup(file: str) -> int | None:
    """A limit of the cgroup; None without one."""
    try:
        text = (_CGROUP / file).read_text().strip()
    except OSError:
        return None
    return int(text) if text.isdigit() else None
