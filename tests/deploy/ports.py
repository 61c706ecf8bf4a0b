"""Ports for several processes."""

import random
import socket
from contextlib import ExitStack

_TRIES = 100


def free_ports(count: int) -> int:
    """The first of so many ports in a row that nothing listens on."""
    for _ in range(_TRIES):
        first = random.randrange(20_000, 30_000)
        try:
            with ExitStack() as stack:
                for port in range(first, first + count):
                    for kind in (socket.SOCK_STREAM, socket.SOCK_DGRAM):
                        tried = stack.enter_context(socket.socket(type=kind))
                        tried.bind(("0.0.0.0", port))
            return first
        except OSError:
            continue
    raise OSError("no ports are free")
