"""The real server on a free port, in a thread of the test process."""

import asyncio
import contextlib
import socket
import sys
import threading
import time
import traceback
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import structlog
from fastapi import FastAPI

from service.app import create_app
from service.http.server import Server
from service.settings import Settings

_STARTING = 60  # s
NO_TLS = False
"""For `verify=` of httpx: each client reads all certificate authorities (33 ms) otherwise."""


@dataclass(frozen=True)
class Live:
    """A running service."""

    app: FastAPI
    host: str
    port: int
    loop: asyncio.AbstractEventLoop

    @property
    def url(self) -> str:
        return f"http://{self.host}:{self.port}"

    def client(self) -> httpx.Client:
        return httpx.Client(base_url=self.url, timeout=60, verify=NO_TLS)

    def connect(self, sent: str | bytes = b"") -> socket.socket:
        """A new connection on which `sent` was sent."""
        connection = socket.create_connection((self.host, self.port), timeout=20)
        connection.sendall(sent.encode() if isinstance(sent, str) else sent)
        return connection

    @property
    def open(self) -> int:
        """Requests that are worked on or wait for their client."""
        found: int = self.app.state.admission.open
        return found

    def wait_until_idle(self) -> None:
        """Until no request is open and nothing waits in the queue."""
        wait_for(lambda: self.open == 0 and self.app.state.scheduler.depth == 0)

    @contextlib.contextmanager
    def permit_held(self) -> Iterator[None]:
        """One permit is taken."""
        permit = self.app.state.admission.permit()
        asyncio.run_coroutine_threadsafe(permit.__aenter__(), self.loop).result()
        try:
            yield
        finally:
            ended = permit.__aexit__(None, None, None)
            asyncio.run_coroutine_threadsafe(ended, self.loop).result()


def wait_for(condition: Callable[[], object], seconds: float = 20, every: float = 0.02) -> None:
    """Until `condition()` is true, looking `every` so many seconds; fails where it does not become
    so in time."""
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(every)


def read_to_end(connection: socket.socket) -> bytes:
    """Everything up to the end of the connection."""
    received = b""
    while more := connection.recv(65_536):
        received += more
    return received


@contextlib.contextmanager
def live(weights: Path, **settings: Any) -> Iterator[Live]:
    """A service with the weights of a folder, ready for requests."""
    options = {"device": "cpu", "threads": 2, "shutdown_grace": 2, **settings}
    options["weights"] = str(weights)
    made = Settings(**options)
    app = create_app(made)
    # not to the captured stdout, which pytest closes under the server's thread
    before = structlog.get_config()
    structlog.configure(processors=[structlog.contextvars.merge_contextvars, _drop])
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        host, port = listener.getsockname()
        server = Server(app, made, on_shutdown=app.state.admission.close)
        loop = asyncio.new_event_loop()
        thread = threading.Thread(
            target=lambda: loop.run_until_complete(server.serve([listener])), daemon=True
        )
        thread.start()
        try:
            found = Live(app, host, port, loop)
            wait_for(lambda: _ready(found), _STARTING)
            yield found
        finally:
            server.should_exit = True
            thread.join(_STARTING)
            assert not thread.is_alive(), _what_runs(thread, loop)
            loop.close()
            structlog.configure(**before)


def _what_runs(thread: threading.Thread, loop: asyncio.AbstractEventLoop) -> str:
    """Where a server is that has not stopped, and what it waits for."""
    frame = sys._current_frames().get(thread.ident or 0)
    stack = "".join(traceback.format_stack(frame))
    return "\n".join([stack, *map(repr, asyncio.all_tasks(loop))])


def _drop(logger: Any, method: str, event: Any) -> Any:
    """A structlog processor that prints nothing."""
    raise structlog.DropEvent


def _ready(found: Live) -> bool:
    with contextlib.suppress(httpx.TransportError):
        return httpx.get(f"{found.url}/health/ready", verify=NO_TLS).status_code == 200
    return False
