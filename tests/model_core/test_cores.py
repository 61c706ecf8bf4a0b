"""How many cores may be used, on systems of every kind."""

import os
from pathlib import Path

import pytest

from model_core.cores import usable_cores

SEEN = len(os.sched_getaffinity(0))


def system(root: Path, files: dict[str, str]) -> Path:
    for name, text in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    return root


@pytest.mark.parametrize(
    "files",
    [
        {},
        {"proc/self/cgroup": "0::/\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "max 100000\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "99900000 100000\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "0 0\n"},
        {"proc/self/cgroup": "nonsense", "sys/fs/cgroup/cpu.max": "100000 100000\n"},
        {
            "proc/self/cgroup": "1:cpu:/\n",
            "sys/fs/cgroup/cpu/cpu.cfs_quota_us": "-1\n",
            "sys/fs/cgroup/cpu/cpu.cfs_period_us": "100000\n",
        },
    ],
)
def test_without_a_quota_it_is_those_it_may_run_on(tmp_path: Path, files: dict[str, str]) -> None:
    assert usable_cores(system(tmp_path, files)) == SEEN


@pytest.mark.parametrize(
    "files",
    [
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "150000 100000\n"},
        {"proc/self/cgroup": "0::/\n", "sys/fs/cgroup/cpu.max": "20000 100000\n"},
        {  # of the group around it, seen from outside its namespace
            "proc/self/cgroup": "0::/pod/service\n",
            "sys/fs/cgroup/pod/cpu.max": "100000 100000\n",
            "sys/fs/cgroup/pod/service/cpu.max": "max 100000\n",
        },
        {
            "proc/self/cgroup": "5:memory:/pod\n4:cpu,cpuacct:/pod\n",
            "sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/pod/cpu.cfs_period_us": "100000\n",
        },
        {  # of version 1, where the container sees its own group as the root
            "proc/self/cgroup": "4:cpu,cpuacct:/docker/0123\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_quota_us": "100000\n",
            "sys/fs/cgroup/cpu,cpuacct/cpu.cfs_period_us": "100000\n",
        },
    ],
)
def test_a_quota_is_kept_to(tmp_path: Path, files: dict[str, str]) -> None:
    assert usable_cores(system(tmp_path, files)) == 1


def test_here(monkeypatch: pytest.MonkeyPatch) -> None:
    assert 1 <= usable_cores() <= SEEN
    monkeypatch.delattr(os, "sched_getaffinity")
    assert 1 <= usable_cores() <= (os.cpu_count() or 1)
