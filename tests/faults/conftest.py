"""A service as a process of its own, to be attacked."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.target import Target, target
from tests.service.narrow import write_narrow_models


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_narrow_models(folder)
    return folder


@pytest.fixture
def start(weights: Path) -> Iterator[Callable[..., Target]]:
    """Starts services with the given flags; they are stopped at the end of the test."""
    with ExitStack() as stack:
        yield lambda *flags, **options: stack.enter_context(target(weights, *flags, **options))
