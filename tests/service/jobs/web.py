"""A server of the test's own, that jobs fetch from and tell of their ends."""

import contextlib
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import parse_qs, unquote


@dataclass
class Web:
    """What it was sent, and what it answers."""

    url: str
    files: dict[str, bytes] = field(default_factory=dict)
    """By path, for GET; others are 404."""
    types: dict[str, bytes] = field(default_factory=dict)
    """Their `Content-Type`, where it is not `audio/wav`."""
    asked: list[str] = field(default_factory=list)
    """The path of each GET."""
    told: list[tuple[dict[str, str], bytes]] = field(default_factory=list)
    """Headers and body of each POST."""
    answers: list[int] = field(default_factory=list)
    """The statuses of the next ones; then 204."""
    released: threading.Event = field(default_factory=threading.Event)
    """Until then POSTs to `/hang` are not answered."""
    wasted: int = 0
    """MiB taken of the body of a redirect, `/long-to`, which has 64."""


@contextlib.contextmanager
def web(host: str = "127.0.0.1") -> Iterator[Web]:
    """On a free port."""

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            path, _, query = self.path.partition("?")
            path = unquote(path)
            found.asked.append(path)
            if path.endswith("/to"):
                self.answer(302, b"", {"Location": parse_qs(query)["url"][0]})
            elif path.endswith("/long-to"):
                self.send_response(302)
                self.send_header("Location", parse_qs(query)["url"][0])
                self.end_headers()
                with contextlib.suppress(OSError):
                    while found.wasted < 64:
                        self.wfile.write(bytes(1 << 20))
                        found.wasted += 1
            elif path.endswith("/slow"):
                self.send_response(200)
                self.end_headers()
                with contextlib.suppress(OSError):
                    for _ in range(200):
                        self.wfile.write(b"x")
                        time.sleep(0.05)
            elif path in found.files:
                coding = {"Content-Encoding": "gzip"} if path.endswith(".gz") else {}
                kind = found.types.get(path, b"audio/wav").decode("latin-1")
                self.answer(200, found.files[path], {"Content-Type": kind} | coding)
            else:
                self.answer(404, b"", {})

        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            found.told.append(({k.lower(): v for k, v in self.headers.items()}, body))
            if self.path == "/hang":
                found.released.wait(30)
            self.answer(found.answers.pop(0) if found.answers else 204, b"", {})

        def answer(self, status: int, body: bytes, headers: dict[str, str]) -> None:
            self.send_response(status)
            for name, value in {"Content-Length": str(len(body)), **headers}.items():
                self.send_header(name, value)
            self.end_headers()
            with contextlib.suppress(OSError):
                self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    server = ThreadingHTTPServer((host, 0), Handler)
    found = Web(f"http://{host}:{server.server_port}")
    threading.Thread(target=server.serve_forever, daemon=True).start()
    try:
        yield found
    finally:
        found.released.set()
        server.shutdown()
        server.server_close()
