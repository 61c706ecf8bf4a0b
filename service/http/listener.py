"""The accept loop: as many connections as there are descriptors for."""

import asyncio
import errno
import itertools
import socket
import time
from collections.abc import Callable, Collection
from typing import Protocol

import structlog

logger = structlog.get_logger(__name__)

_BACKLOG = 256  # connections that the system may hold ready
_AT_ONCE = 16  # accepted in one turn of the event loop
_PAUSE = 0.1  # s
_LOG_INTERVAL = 60.0  # s
_EXHAUSTED = (errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM)


class Evictable(Protocol):
    """A connection as the listener sees it."""

    @property
    def idle_since(self) -> float | None:
        """When its last request ended, or it began (`time.monotonic`); None during a request."""

    def evict(self) -> None:
        """Closes it at once."""


class Listener:
    """Accepts connections on a bound socket, at most `most` at a time.

    For one more, the connection that has been idle longest is closed. Where all are at work, or the
    system has no descriptor left, accepting pauses, and the log says so once a minute: asyncio's
    own loop logs a traceback for each connection that waits, and keeps the server busy with it.
    """

    def __init__(
        self,
        listener: socket.socket,
        protocol: Callable[[], asyncio.Protocol],
        connections: Collection[Evictable],
        most: int,
    ):
        """`connections` are those that `protocol` has made and that are open."""
        self._socket = listener
        self._protocol = protocol
        self._connections = connections
        self._most = most
        self._logged = float("-inf")
        self._beginning: dict[asyncio.Task[None], object] = {}
        listener.listen(_BACKLOG)
        listener.setblocking(False)
        self._accepting = asyncio.create_task(self._accept_all())

    def close(self) -> None:
        """Accepts nothing more."""
        self._accepting.cancel()

    async def wait_closed(self) -> None:
        """Until the last accept has ended."""
        await asyncio.wait([self._accepting, *self._beginning])

    async def _accept_all(self) -> None:
        """Many that come at once are all accepted before the first of them is served: each would
        otherwise wait for a turn of the event loop in which those before it send their bodies."""
        loop = asyncio.get_running_loop()
        for number in itertools.count(1):
            if number % _AT_ONCE == 0:
                await asyncio.sleep(0)
            await self._make_room()
            try:
                connection, _ = await loop.sock_accept(self._socket)
            except OSError as error:
                if error.errno in _EXHAUSTED:
                    self._evict_one()
                    await self._pause(error.strerror or "")
                continue  # any other error is that of a client that has left already
            protocol = self._protocol()
            task = asyncio.create_task(_begin(protocol, connection))
            self._beginning[task] = protocol
            task.add_done_callback(self._beginning.pop)

    def _open(self) -> int:
        """Connections, with those that are about to be among them."""
        beginning = self._beginning.values()
        return len(self._connections) + sum(one not in self._connections for one in beginning)

    async def _make_room(self) -> None:
        while self._open() >= self._most:
            if self._evict_one():
                await asyncio.sleep(0)  # it ends in the next turn of the loop
            else:
                await self._pause("all connections are at work")

    def _evict_one(self) -> bool:
        """Closes the connection that has been idle longest; False where none is idle."""
        idle = [(c.idle_since, c) for c in self._connections if c.idle_since is not None]
        if idle:
            min(idle, key=lambda pair: pair[0])[1].evict()
        return bool(idle)

    async def _pause(self, reason: str) -> None:
        now = time.monotonic()
        if now - self._logged >= _LOG_INTERVAL:
            self._logged = now
            open_now = len(self._connections)
            logger.error("no connection can be accepted", reason=reason, connections=open_now)
        await asyncio.sleep(_PAUSE)


async def _begin(protocol: asyncio.Protocol, connection: socket.socket) -> None:
    try:
        await asyncio.get_running_loop().connect_accepted_socket(lambda: protocol, connection)
    except OSError:
        connection.close()
