"""`encodec-serve`: the service on a socket.

Ends with 0 when it was told to stop, 1 when it could not go on (a model that cannot be loaded, a
worker that died, an address that is taken), 2 for wrong settings.
"""

import signal
import socket
import sys
from types import FrameType

import structlog
import uvicorn

from . import flags, logs
from .app import create_app
from .settings import Settings

logger = structlog.get_logger(__name__)


def serve(settings: Settings) -> int:
    """Serve until told to stop; returns the exit status."""
    failed = False

    def on_fatal() -> None:
        nonlocal failed
        failed = True
        server.should_exit = True

    def on_signal(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    try:
        app = create_app(settings, on_fatal)
    except ValueError as error:
        logger.critical("wrong settings", error=str(error))
        return 2
    config = uvicorn.Config(
        app,
        host=settings.host,
        port=settings.port,
        http="h11",
        ws="none",
        lifespan="on",
        log_config=None,
        access_log=False,  # `middleware.observe` writes a better one
        server_header=False,
        timeout_keep_alive=settings.keep_alive_timeout,
        timeout_graceful_shutdown=settings.shutdown_grace,
    )
    server = uvicorn.Server(config)
    try:
        listener = _listen(settings.host, settings.port)
    except OSError as error:
        reason = error.strerror or str(error)
        logger.critical("cannot listen", host=settings.host, port=settings.port, error=reason)
        return 1
    # uvicorn takes the signals while it runs and raises them again afterwards: a stop that was
    # asked for is not an error.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    with listener:
        server.run(sockets=[listener])
    return 1 if failed or not server.started else 0


def _listen(host: str, port: int) -> socket.socket:
    """A bound socket, its real port said in the log. Raises `OSError`."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    listener = socket.socket(family)
    try:
        listener.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        # Connections inherit it. Without, a body that follows its headers waits, on a connection
        # that is used again, until the client acknowledges the headers: 40 ms.
        listener.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        listener.bind((host, port))
    except OSError:
        listener.close()
        raise
    address = f"[{host}]" if ":" in host else host
    logger.info("listening", url=f"http://{address}:{listener.getsockname()[1]}")
    return listener


def main(arguments: list[str] | None = None) -> int:
    """The console script."""
    settings = flags.parse(arguments)
    logs.configure(settings.log_level, settings.log_format)
    return serve(settings)


if __name__ == "__main__":
    sys.exit(main())
