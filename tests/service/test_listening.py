"""The socket that the service listens on."""

import socket

from service.server import listen
from service.settings import Settings


def test_answers_are_sent_without_waiting_for_acknowledgements() -> None:
    with listen(Settings(port=0)) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
