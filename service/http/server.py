"""The web server around the app, as it listens and stops."""

import resource
import socket
from collections.abc import Callable
from functools import partial
from typing import Any

import structlog
import uvicorn
from starlette.types import ASGIApp

from ..settings import Settings
from .connection import Connection

logger = structlog.get_logger(__name__)

_BACKLOG = 256  # connections that the system may hold ready
_MOST_MILLISECONDS = 2**31 - 1
_DESCRIPTORS = 65_536  # each request takes about six


class Server(uvicorn.Server):
    """uvicorn with our connections. `on_shutdown` is called as soon as it is told to stop."""

    def __init__(self, app: ASGIApp, settings: Settings, on_shutdown: Callable[[], None]):
        timeouts = {"read_timeout": settings.read_timeout, "write_timeout": settings.write_timeout}
        connection: Any = partial(Connection, **timeouts)
        super().__init__(
            uvicorn.Config(
                app,
                host=settings.host,
                port=settings.port,
                http=connection,
                ws="none",
                lifespan="on",
                log_config=None,
                access_log=False,  # `middleware.RequestLog` writes a better one
                server_header=False,
                backlog=_BACKLOG,
                timeout_keep_alive=settings.keep_alive_timeout,
                timeout_graceful_shutdown=settings.shutdown_grace,
            )
        )
        self._on_shutdown = on_shutdown

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
