"""A running service with narrow models, shared by the tests that only send requests."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
import structlog

from tests.service.live import Live, live
from tests.service.narrow import write_narrow_models


@pytest.fixture(scope="session", autouse=True)
def plain_tracebacks() -> None:
    """Logged tracebacks show no values of variables: printing those takes seconds."""
    structlog.configure(
        processors=[
            structlog.contextvars.merge_contextvars,
            structlog.processors.add_log_level,
            structlog.dev.ConsoleRenderer(
                colors=False, exception_formatter=structlog.dev.plain_traceback
            ),
        ]
    )


@pytest.fixture(scope="session")
def weights(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with weights of both models; the 24 kHz one has a language model."""
    folder = tmp_path_factory.mktemp("weights")
    write_narrow_models(folder)
    return folder


@pytest.fixture(scope="session")
def server(weights: Path) -> Iterator[Live]:
    with live(weights) as running:
        yield running


@pytest.fixture
def client(server: Live) -> Iterator[httpx.Client]:
    with server.client() as connected:
        yield connected
        server.wait_until_idle()
