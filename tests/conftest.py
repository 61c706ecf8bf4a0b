"""Fixtures every test may use. (torch is imported where it is used: what only starts the processes
that run tests does without.)"""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.peers import Peers


if "PYTEST_XDIST_WORKER" in os.environ:  # for the worker alone, not for what its tests start
    os.environ.pop("MALLOC_MMAP_THRESHOLD_", None)
    os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)


_LONG = (
    "tests/service/test_cluster.py",
    "tests/model_core/test_parity_codes.py",
    "tests/service/batch/test_cluster.py",
    "tests/model_core/engine/native/test_engine.py",
    "tests/service/jobs/test_restart.py",
    "tests/service/batch/test_command.py",
    "tests/scripts/test_gpu_train.py",
    "tests/model_core/test_parity_float32.py",
    "tests/docs/test_snippets.py",
    "tests/deploy/test_proxy.py",
    "tests/benchmarks/gpu_check/test_command.py",
    "tests/service/end_to_end/test_fuzz.py",
)
"""Files that take a minute or more."""


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Long files first: begun last, they would be what all other processes wait for."""
    items.sort(key=lambda item: not item.nodeid.startswith(_LONG))


@pytest.fixture(scope="module", autouse=True)
def _freed_memory_goes_back() -> Iterator[None]:
    """To the system after each file: the process keeps it otherwise (Makefile), and several
    processes that keep what their largest file needed do not fit into memory."""
    yield
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # glibc's
    if trim is not None:
        trim(0)


@pytest.fixture(scope="session")
def peers() -> Peers:
    """The reference models and ours with the same weights, built when first asked for. (The
    reference is imported only then: GPU machines seldom have it.)"""
    from tests.peers import Peers

    return Peers()


@pytest.fixture(scope="session")
def anyio_backend() -> str:
    """Asynchronous tests (`@pytest.mark.anyio`) run on asyncio, as the service does."""
    return "asyncio"


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One torch thread: sums are then taken in one order, and bits can be compared."""
    import torch

    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_grad() -> Iterator[None]:
    """No gradients are recorded."""
    import torch

    with torch.no_grad():
        yield
