"""The web server around the app, as it listens and stops."""

import os
import resource
import signal
import socket
import time
from collections.abc import Callable
from functools import partial
from types import FrameType
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from ..settings import Settings
from .connection import MOST_HEAD, Connection
from .listener import Listener
from .websocket import MOST_MESSAGE, WebSocketConnection

logger = structlog.get_logger(__name__)

_MOST_MILLISECONDS = 2**31 - 1
_DESCRIPTORS = 65_536
_RESERVED = 40  # descriptors for the log, libraries, and health checks when all others are used
_FOR_REQUEST = 5  # descriptors, besides the connection


class Server(uvicorn.Server):
    """uvicorn with our connections, of HTTP and WebSockets."""

    def __init__(
        self,
        app: ASGIApp,
        settings: Settings,
        on_shutdown: Callable[[], None],
        on_leaving: Callable[[], None] = lambda: None,
    ):
        """`on_leaving` is called, in a signal handler, when it is told to stop; `on_shutdown` when
        it stops: after SIGTERM `shutdown_delay` seconds later, else at once."""
        connection: Any = partial(
            Connection,
            read_timeout=settings.read_timeout,
            write_timeout=settings.write_timeout,
            min_rate=settings.min_rate,
        )
        super().__init__(
            uvicorn.Config(
                app,
                loop="asyncio",  # whose transports our connections know; uvloop may be there too
                host=settings.host,
                port=settings.port,
                http=connection,
                h11_max_incomplete_event_size=MOST_HEAD,
                ws=WebSocketConnection,
                ws_max_size=MOST_MESSAGE,
                ws_ping_interval=None,  # our connection has its own
                ws_per_message_deflate=False,  # codes do not become smaller
                lifespan="on",
                log_config=None,
                access_log=False,  # `request_log.RequestLog` writes a better one
                server_header=False,
                timeout_keep_alive=settings.keep_alive_timeout,
                timeout_graceful_shutdown=settings.shutdown_grace,
            )
        )
        self._on_shutdown = on_shutdown
        self._on_leaving = on_leaving
        self._shutdown_delay = settings.shutdown_delay
        self._stop_at = 0.0
        self._max_requests = settings.max_requests

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's, with our accept loop."""
        await super().startup(sockets=[])
        made: Any = self.config.http_protocol_class
        connection = partial(
            made,
            config=self.config,
            server_state=self.server_state,
            app_state=self.lifespan.state,
        )
        most = most_connections(self._max_requests)
        connections: Any = self.server_state.connections
        for listener in sockets or []:
            opened: Any = Listener(listener, connection, connections, most)
            self.servers.append(opened)

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """The second Ctrl-C ends the process at once; its decoders end with it."""
        if self.should_exit and sig == signal.SIGINT:
            os._exit(128 + sig)
        if sig == signal.SIGTERM and not self.should_exit:
            self._stop_at = time.monotonic() + self._shutdown_delay
        self._on_leaving()
        super().handle_exit(sig, frame)

    async def on_tick(self, counter: int) -> bool:
        """Whether it stops now."""
        return await super().on_tick(counter) and time.monotonic() >= self._stop_at

    async def shutdown(self, sockets: list[socket.socket] | None = None) -> None:
        """As uvicorn's."""
        self._on_shutdown()
        await super().shutdown(sockets)


def listen(settings: Settings) -> socket.socket:
    """A bound socket, its real port logged. Raises `OSError`."""
    host = settings.host
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit these. Without the first, a body that follows its headers on a reused
        # connection waits until the client acknowledges the headers: 40 ms. The second ends
        # connections whose last bytes nobody acknowledges.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        milliseconds = min(max(1, round(settings.write_timeout * 1000)), _MOST_MILLISECONDS)
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, milliseconds)
        listener.bind((host, settings.port))
    except OSError:
        listener.close()
        raise
    address = f"[{host}]" if ":" in host else host
    logger.info("listening", url=f"http://{address}:{listener.getsockname()[1]}")
    return listener


def raise_descriptor_limit() -> None:
    """To what many connections take, as far as the system lets us."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    wanted = _DESCRIPTORS if hard == resource.RLIM_INFINITY else min(_DESCRIPTORS, hard)
    if soft != resource.RLIM_INFINITY and soft < wanted:
        resource.setrlimit(resource.RLIMIT_NOFILE, (wanted, hard))


def most_connections(max_requests: int) -> int:
    """How many connections may be open, so that requests find descriptors for what they need."""
    limit, _ = resource.getrlimit(resource.RLIMIT_NOFILE)
    left = limit - _RESERVED - _FOR_REQUEST * max_requests
    return max(left, limit // 4)
