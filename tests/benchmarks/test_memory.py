"""Memory as the kernel counts it."""

import gc
import mmap
import os
import subprocess
import sys

import pytest

from benchmarks.memory import (
    available_memory,
    forget_peak,
    peak_resident,
    resident,
    total_memory,
    tree_bytes,
)

pytestmark = pytest.mark.skipif(sys.platform != "linux", reason="read from /proc")
_MIB = 2**20
_CHILD = "held = bytearray(b'1') * (200 * 2**20); print('there', flush=True); input()"


def test_the_peak_is_remembered_until_it_is_forgotten() -> None:
    gc.collect()  # what earlier tests left must not be freed meanwhile
    before = resident()
    with mmap.mmap(-1, 100 * _MIB) as block:  # new memory, not what was freed and kept
        for page in range(0, len(block), mmap.PAGESIZE):
            block[page] = 1
        assert resident() > before + 90 * _MIB
    assert peak_resident() > before + 90 * _MIB
    forget_peak()
    assert peak_resident() < before + 60 * _MIB


def test_children_are_counted() -> None:
    before = tree_bytes(os.getpid())
    with subprocess.Popen(
        [sys.executable, "-c", _CHILD], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    ) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"there\n"
        assert tree_bytes(os.getpid()) > before + 180 * _MIB
        child.communicate(b"\n")
    assert tree_bytes(child.pid) == 0


def test_available_memory_is_part_of_the_total() -> None:
    assert 0 < available_memory() < total_memory()
