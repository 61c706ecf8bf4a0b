"""A service as a process of its own, to be attacked."""

from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from tests.faults.target import Target, target
from tests.service.narrow import write_narrow_models
from tests.service.process import FORK


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("weights")
    write_narrow_models(folder)
    return folder


@pytest.fixture(scope="module")
def running(weights: Path) -> Iterator[Callable[..., Target]]:
    """Starts services with the given flags; they are stopped at the end of the module."""
    with ExitStack() as stack:
        yield lambda *flags: stack.enter_context(target(weights, *flags, command=FORK))


@pytest.fixture(scope="module")
def idle() -> dict[tuple[str, ...], Target]:
    """Services that the module's next tests may share, by their flags."""
    return {}


@pytest.fixture
def share(
    running: Callable[..., Target], idle: dict[tuple[str, ...], Target]
) -> Iterator[Callable[..., Target]]:
    """Gives services with the given flags that earlier tests of the module may have used: each must
    leave its own healthy and without requests. Of the log only new lines are there."""
    used: dict[tuple[str, ...], Target] = {}

    def give(*flags: str) -> Target:
        service = used[flags] = idle.pop(flags) if flags in idle else running(*flags)
        service.process.lines.clear()
        return service

    yield give
    for flags, service in used.items():
        service.wait_until_idle()  # or it is not given again
        idle[flags] = service


@pytest.fixture
def start(weights: Path) -> Iterator[Callable[..., Target]]:
    """Starts services with the given flags; they are stopped at the end of the test."""
    with ExitStack() as stack:
        yield lambda *flags, command=FORK: stack.enter_context(
            target(weights, *flags, command=command)
        )
