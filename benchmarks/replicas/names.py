"""A name server for one name that several addresses have, as Docker's is for a service."""

import socket
import struct
import threading
from typing import Self

_A, _ANY = 1, 255
_TTL = 1  # s


class Names:
    """Answers every question for an IPv4 address with all of `addresses`, which may change."""

    def __init__(self, address: str, port: int):
        self.addresses: list[str] = []
        self._socket = socket.socket(socket.AF_INET, socket.SOCK_DGRAM)
        self._socket.bind((address, port))
        self._thread = threading.Thread(target=self._serve, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._socket.sendto(b"", self._socket.getsockname())
        self._thread.join()
        self._socket.close()

    def _serve(self) -> None:
        while (received := self._socket.recvfrom(4096))[0]:
            question, client = received
            self._socket.sendto(answer(question, self.addresses), client)


def answer(message: bytes, addresses: list[str]) -> bytes:
    """The answer to a question (RFC 1035 4.1)."""
    end = message.index(0, 12) + 5  # of the question: a name, its type and class
    kind = struct.unpack_from(">H", message, end - 4)[0]
    found = addresses if kind in (_A, _ANY) else []
    header = message[:2] + struct.pack(">HHHHH", 0x8580, 1, len(found), 0, 0)
    to_name = 0xC00C  # the question's
    record = struct.pack(">HHHIH", to_name, _A, 1, _TTL, 4)
    return header + message[12:end] + b"".join(record + socket.inet_aton(a) for a in found)
