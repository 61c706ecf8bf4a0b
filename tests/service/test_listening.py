"""The socket that the service listens on."""

import socket

from service.__main__ import _listen


def test_answers_are_sent_without_waiting_for_acknowledgements() -> None:
    with _listen("127.0.0.1", 0) as listener:
        listener.listen()
        with socket.create_connection(listener.getsockname()):
            connection, _ = listener.accept()
            with connection:
                assert connection.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
