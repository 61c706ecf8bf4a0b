"""`encodec-serve`: the service on a socket.

Ends with 0 when it was told to stop, 1 when it could not go on (a model that cannot be loaded, a
worker or a device that died, an address that is taken), 2 for wrong settings.
"""

import faulthandler
import logging
import os
import signal
import sys
from types import FrameType
from typing import Literal

import structlog
from structlog.stdlib import ProcessorFormatter
from structlog.types import Processor

from .app import create_app
from .http.server import Server, listen, raise_descriptor_limit
from .inference.scheduler import PATIENCE
from .settings import Settings, parse_flags

logger = structlog.get_logger(__name__)


def serve(settings: Settings) -> int:
    """Serve until told to stop; returns the exit status.

    Where it could not go on, the whole process ends soon after, if nothing ends it before.
    """
    failed = False

    def on_fatal() -> None:
        nonlocal failed
        if not failed:
            failed = True
            server.should_exit = True
            # A thread that hangs must not block the end: this needs neither the event loop nor the
            # interpreter.
            faulthandler.dump_traceback_later(settings.shutdown_grace + PATIENCE, exit=True)

    def on_signal(number: int, frame: FrameType | None) -> None:
        server.should_exit = True

    try:
        app = create_app(settings, on_fatal)
    except ValueError as error:
        logger.critical("wrong settings", error=str(error))
        return 2
    raise_descriptor_limit()
    server = Server(app, settings, on_shutdown=app.state.admission.close)
    try:
        listener = listen(settings)
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


def configure_logs(level: str, form: Literal["json", "console"]) -> None:
    """Structured lines to stderr, from the service and its libraries alike, for this process."""
    number = logging.getLevelNamesMapping()[level.upper()]
    shared: list[Processor] = [
        structlog.contextvars.merge_contextvars,
        structlog.stdlib.add_log_level,
        structlog.stdlib.add_logger_name,
        structlog.processors.TimeStamper(fmt="iso", utc=True),
    ]
    structlog.configure(
        processors=[*shared, ProcessorFormatter.wrap_for_formatter],
        logger_factory=structlog.stdlib.LoggerFactory(),
        wrapper_class=structlog.make_filtering_bound_logger(number),
    )
    last: list[Processor]
    if form == "json":
        last = [structlog.processors.format_exc_info, structlog.processors.JSONRenderer()]
    else:
        # Tracebacks without the values of variables: they would hold what clients sent.
        plain = structlog.dev.plain_traceback
        colors = sys.stderr.isatty()
        last = [structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)]
    handler = logging.StreamHandler(sys.stderr)
    processors = [ProcessorFormatter.remove_processors_meta, *last]
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=shared, processors=processors))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for chatty in ("httpx", "httpcore", "asyncio", "multipart", "python_multipart"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))


def main(arguments: list[str] | None = None) -> int:
    """The console script."""
    settings = parse_flags(arguments)
    configure_logs(settings.log_level, settings.log_format)
    status = serve(settings)
    if status == 1:
        logging.shutdown()
        # A thread that hangs in the driver of a device would block the usual end forever.
        os._exit(status)
    return status


if __name__ == "__main__":
    sys.exit(main())
