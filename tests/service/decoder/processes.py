"""The processes that decode uploads, as the system sees them."""

import contextlib
import os
from pathlib import Path

import pytest

TIMEOUT = 60  # s: only for a test that would otherwise hang


def names(folder: Path | str) -> list[str]:
    """What is in a folder."""
    return sorted(path.name for path in Path(folder).iterdir())


def children(parent: int) -> set[int]:
    """Children of a process that still run."""
    found = set()
    for stat in Path("/proc").glob("[0-9]*/stat"):
        with contextlib.suppress(OSError):
            state, of = stat.read_text().rpartition(")")[2].split()[:2]
            if state not in "ZX" and int(of) == parent:
                found.add(int(stat.parent.name))
    return found


def decoding(fork_server: int) -> set[int]:
    """Children of a fork server that hold an upload; one more may wait for the next."""
    return {pid for pid in children(fork_server) if _holds_upload(pid)}


def _holds_upload(pid: int) -> bool:
    with contextlib.suppress(FileNotFoundError, ProcessLookupError):
        if not os.access(f"/proc/{pid}/fd", os.R_OK) and os.geteuid() != 0:
            pytest.skip("what a confined process holds, root alone sees")
        return Path(f"/proc/{pid}/fd/4").readlink().name.startswith("encodec-")
    return False
