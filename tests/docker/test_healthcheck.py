"""The health check, as the container runs it, against a server that is ready or is not."""

import os
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from threading import Thread

SCRIPT = Path(__file__).parents[2] / "docker" / "healthcheck.py"


def check(port: int, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, str(SCRIPT)],
        env={**os.environ, "ENCODEC_PORT": str(port), **environment},
        capture_output=True,
        text=True,
        timeout=60,
    )


@contextmanager
def serving(status: Callable[[str], int]) -> Iterator[int]:
    """A server that answers every GET with the status for its path; gives the port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            self.send_response(status(self.path))
            self.end_headers()
            self.wfile.write(b"warming up")

        def log_message(self, format: str, *args: object) -> None:
            pass

    with HTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = Thread(target=server.serve_forever)
        thread.start()
        try:
            yield server.server_port
        finally:
            server.shutdown()
            thread.join()


def test_ready_is_healthy() -> None:
    with serving(lambda path: 200 if path == "/health/ready" else 404) as port:
        assert check(port).returncode == 0


def test_not_ready_is_unhealthy_and_says_why() -> None:
    with serving(lambda path: 503) as port:
        done = check(port)
    assert done.returncode == 1
    assert done.stderr.splitlines() == ["503 warming up"]


def test_nobody_there_is_unhealthy() -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))
        done = check(unused.getsockname()[1])
    assert done.returncode == 1
    assert "Traceback" not in done.stderr


def test_a_proxy_is_not_asked() -> None:
    with serving(lambda path: 200) as port:
        assert check(port, http_proxy="http://127.0.0.1:1", no_proxy="").returncode == 0
