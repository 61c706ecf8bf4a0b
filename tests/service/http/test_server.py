"""The socket that the service listens on."""

import socket

import pytest

from service.http.server import listen
from service.settings import Settings


def test_answers_are_sent_without_waiting_for_acknowledgements() -> None:
    with listen(Settings(port=0)) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)


@pytest.mark.parametrize("seconds", [1e-9, 1e9])
def test_any_time_out_can_be_set(seconds: float) -> None:
    with listen(Settings(port=0, write_timeout=seconds)) as listener:
        assert listener.getsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT) > 0
