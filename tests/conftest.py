"""Fixtures every test may use. (torch is imported where it is used: what only starts the processes
that run tests does without.)"""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.peers import Peers


if "PYTEST_XDIST_WORKER" in os.environ:  # for the worker alone, not for what its tests start
    os.environ.pop("MALLOC_MMAP_THRESHOLD_", None)
    os.environ.pop("MALLOC_TRIM_THRESHOLD_", None)


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
