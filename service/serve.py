"""The service on a socket: its log, its signals, its exit status.

Ends with 0 when it was told to stop, 1 when it could not go on (a model that cannot be loaded, a
worker or a device that died, an address that is taken), 2 for wrong settings.
"""

import faulthandler
import gc
import ipaddress
import logging
import os
import re
import signal
import sys
from types import FrameType
from typing import Literal, NoReturn

import structlog
from prometheus_client import disable_created_metrics
from structlog.stdlib import ProcessorFormatter
from structlog.types import EventDict, Processor, WrappedLogger

from .app import create_app
from .http.server import Server, listen, raise_descriptor_limit
from .inference.scheduler import PATIENCE
from .settings import Settings, parse_flags
from .variables import unknown_variables

logger = structlog.get_logger(__name__)

_CONTROLS = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")


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
        app = create_app(settings, on_fatal, keep_what_is_there)
    except ValueError as error:
        logger.critical("wrong settings", error=str(error))
        return 2
    if not len(app.state.keys) and not is_loopback(settings.host):
        logger.warning("open to everybody who can reach it: no API key is set", host=settings.host)
    raise_descriptor_limit()

    def on_leaving() -> None:
        app.state.leaving = True

    server = Server(app, settings, app.state.admission.close, on_leaving)
    # uvicorn takes the signals while it runs and raises them again afterwards: a stop that was
    # asked for is not an error.
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, on_signal)
    try:
        listener = listen(settings)
    except OSError as error:
        reason = error.strerror or str(error)
        logger.critical("cannot listen", host=settings.host, port=settings.port, error=reason)
        return 1
    with listener:
        server.run(sockets=[listener])
    return 1 if failed or not server.started else 0


def keep_what_is_there() -> None:
    """When the models are warm: what is in memory now stays, and full garbage collections, which
    hold up every answer, need no longer look at it (110 ms, several times a minute under load)."""
    gc.collect()
    gc.freeze()


def is_loopback(host: str) -> bool:
    """Whether only this machine reaches it."""
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return host == "localhost"


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
        console = structlog.dev.ConsoleRenderer(colors=colors, exception_formatter=plain)
        last = [_escape_controls, console]
    handler = logging.StreamHandler(sys.stderr)
    processors = [ProcessorFormatter.remove_processors_meta, *last]
    handler.setFormatter(ProcessorFormatter(foreign_pre_chain=shared, processors=processors))
    root = logging.getLogger()
    root.handlers = [handler]
    root.setLevel(number)
    for chatty in ("httpx", "httpcore", "asyncio", "multipart", "python_multipart"):
        logging.getLogger(chatty).setLevel(max(number, logging.WARNING))


def _escape_controls(logger: WrappedLogger, name: str, event: EventDict) -> EventDict:
    """What clients send must not steer the terminal."""
    for key, value in event.items():
        if isinstance(value, str) and key != "exception":
            event[key] = _CONTROLS.sub(lambda found: ascii(found[0])[1:-1], value)
    return event


def main(arguments: list[str] | None = None) -> NoReturn:
    """Serve by the flags and the environment, and end the process."""
    settings = parse_flags(arguments)
    configure_logs(settings.log_level, settings.log_format)
    disable_created_metrics()  # type: ignore[no-untyped-call]  # lines that nobody reads
    for name, advice in unknown_variables(os.environ).items():
        logger.warning("no such setting: it does nothing", variable=name, advice=advice)
    status = serve(settings)
    logging.shutdown()
    sys.stdout.flush()
    # The usual end would wait forever for a thread that hangs in the driver of a device, and abort
    # where a thread is just loading a model.
    os._exit(status)
