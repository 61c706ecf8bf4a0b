"""The sockets of the service and its limit of open files."""

import resource
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import pytest
from structlog.testing import capture_logs

from service.http.server import listen, raise_descriptor_limit
from service.settings import Settings


@contextmanager
def accepted(settings: Settings) -> Iterator[socket.socket]:
    """The service's side of a connection to it."""
    with listen(settings) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                yield connection


def test_connections_send_without_waiting_for_acknowledgements() -> None:
    with accepted(Settings(port=0)) as connection:
        assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY) == 1


@pytest.mark.parametrize(
    ("seconds", "milliseconds"),
    [(0.25, 250), (60, 60_000), (1e-9, 1), (1e9, 2**31 - 1)],
)
def test_write_timeout_bounds_the_wait_for_acknowledgements(
    seconds: float, milliseconds: int
) -> None:
    """Rounded to what the system takes: at least 1 ms and at most 2**31 - 1 ms."""
    with accepted(Settings(port=0, write_timeout=seconds)) as connection:
        option = connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT)
        assert option == milliseconds


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
def test_the_address_that_it_listens_on_is_logged(host: str, shown: str) -> None:
    try:
        with capture_logs() as logged, listen(Settings(host=host, port=0)) as listener:
            port = listener.getsockname()[1]
    except OSError:
        pytest.skip(f"this machine has no {host}")
    assert [line["url"] for line in logged] == [f"http://{shown}:{port}"]


def test_the_limit_of_open_files_is_raised_as_far_as_the_system_allows() -> None:
    before = _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    most = 65_536 if hard == resource.RLIM_INFINITY else min(65_536, hard)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most // 2, hard))
    try:
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)
        raise_descriptor_limit()
        assert resource.getrlimit(resource.RLIMIT_NOFILE) == (most, hard)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, before)
