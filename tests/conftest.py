"""Fixtures every test may use."""

from collections.abc import Iterator

import pytest
import torch

from tests.peers import Peers


@pytest.fixture(scope="session")
def peers() -> Peers:
    """The reference models and ours with the same weights, built when first asked for."""
    return Peers()


@pytest.fixture
def one_thread() -> Iterator[None]:
    """One torch thread: sums are then taken in one order, and bits can be compared."""
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def no_grad() -> Iterator[None]:
    """No gradients are recorded."""
    with torch.no_grad():
        yield
