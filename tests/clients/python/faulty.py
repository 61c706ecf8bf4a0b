"""A server that does as it is told: for what the real one does only when it is in trouble."""

import contextlib
import socket
import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

BUSY = (
    b"HTTP/1.1 429 Too Many Requests\r\nContent-Type: application/problem+json\r\n"
    b"Retry-After: 0\r\nContent-Length: 57\r\nConnection: close\r\n\r\n"
    b'{"status":429,"code":"busy","title":"full","detail":"x" }'
)
WHOLE = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwhole"
CUT = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\nConnection: close\r\n\r\nwh"
RESET = b""


@dataclass
class Faulty:
    """Its address, and the bodies it was sent."""

    url: str
    bodies: list[bytes] = field(default_factory=list)


@contextlib.contextmanager
def faulty(answers: Sequence[bytes]) -> Iterator[Faulty]:
    """Gives these answers, each on a connection of its own. Bodies have a Content-Length or one
    chunk."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        found = Faulty(f"http://127.0.0.1:{listener.getsockname()[1]}")

        def serve() -> None:
            for answer in answers:
                connection, _ = listener.accept()
                with connection, connection.makefile("rb") as received:
                    length, chunked = 0, False
                    while (line := received.readline()).strip():
                        name, _, value = line.partition(b":")
                        if name.lower() == b"content-length":
                            length = int(value)
                        chunked |= name.lower() == b"transfer-encoding"
                    if chunked:
                        length = int(received.readline(), 16)
                    found.bodies.append(received.read(length))
                    if chunked:
                        received.read(len(b"\r\n0\r\n\r\n"))
                    connection.sendall(answer)

        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        yield found
        thread.join(10)
        assert not thread.is_alive(), "not every answer was asked for"
