"""How many cores the service may use, with and without a container's quota."""

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
def test_without_a_quota_all_cores_of_the_process_count(
    tmp_path: Path, files: dict[str, str]
) -> None:
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
def test_a_quota_is_rounded_down_to_at_least_one_core(
    tmp_path: Path, files: dict[str, str]
) -> None:
    assert usable_cores(system(tmp_path, files)) == 1


def test_systems_without_an_affinity_count_all_cores(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.delattr(os, "sched_getaffinity")
    assert usable_cores(tmp_path) == os.cpu_count()


def test_the_real_system_has_at_least_one_core() -> None:
    assert 1 <= usable_cores() <= SEEN
