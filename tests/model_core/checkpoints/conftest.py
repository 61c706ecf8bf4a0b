"""Files of seeded weights in each format, and a server to download them from."""

import hashlib
import http.server
import threading
from collections.abc import Iterator
from pathlib import Path

import encodec
import pytest
import torch
from encodec.model import LMModel as ReferenceLM

from model_core.checkpoints import weight_set
from tests.peers import Peers


@pytest.fixture(scope="session", autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture(scope="session")
def reference24(peers: Peers) -> encodec.EncodecModel:
    return peers.pair("encodec_24khz").reference


@pytest.fixture(scope="session")
def reference48(peers: Peers) -> encodec.EncodecModel:
    return peers.pair("encodec_48khz").reference


@pytest.fixture(scope="session")
def reference_lm(peers: Peers) -> ReferenceLM:
    return peers.lm_pair("encodec_24khz").reference


def save_th(state: object, folder: Path, stem: str) -> Path:
    """A `.th` named after its own checksum."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "unnamed"
    torch.save(state, path)
    return path.rename(folder / f"{stem}-{hashlib.sha256(path.read_bytes()).hexdigest()[:8]}.th")


@pytest.fixture(scope="session")
def th24(reference24: encodec.EncodecModel, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_th(reference24.state_dict(), tmp_path_factory.mktemp("th"), "encodec_24khz")


@pytest.fixture(scope="session")
def th_lm(reference_lm: ReferenceLM, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_th(reference_lm.state_dict(), tmp_path_factory.mktemp("lm"), "encodec_lm_24khz")


@pytest.fixture
def as_published(monkeypatch: pytest.MonkeyPatch, th24: Path, th_lm: Path) -> None:
    """The test's own files stand for the published ones, whose checksums they cannot have."""
    monkeypatch.setitem(weight_set.PUBLISHED_FILES, ("encodec_24khz", "model"), th24.name)
    monkeypatch.setitem(weight_set.PUBLISHED_FILES, ("encodec_24khz", "lm"), th_lm.name)


class FileServer(http.server.ThreadingHTTPServer):
    """Serves `files` with ranges. `cuts` holds after how many bytes the next answers break off."""

    daemon_threads = True

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), _Handler)
        self.files: dict[str, bytes] = {}
        self.cuts: list[int] = []
        self.requests: list[tuple[str, str, str | None]] = []  # method, path, range
        self.ranges = True
        self.lengths = True
        self.status: int | None = None
        self.headers: dict[str, str] = {}

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/"


class _Handler(http.server.BaseHTTPRequestHandler):
    server: FileServer

    def do_HEAD(self) -> None:
        self._answer(body=False)

    def do_GET(self) -> None:
        self._answer(body=True)

    def _answer(self, body: bool) -> None:
        wanted = self.headers.get("Range")
        self.server.requests.append((self.command, self.path, wanted))
        content = self.server.files.get(self.path)
        if self.server.status or content is None:
            self.send_response(self.server.status or 404)
            self.send_header("Content-Length", "0")
            for name, value in self.server.headers.items():
                self.send_header(name, value)
            self.end_headers()
            return
        start = 0
        if wanted and self.server.ranges:
            start = int(wanted.removeprefix("bytes=").split("-")[0])
            if start >= len(content):
                self.send_response(416)
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206)
            self.send_header("Content-Range", f"bytes {start}-{len(content) - 1}/{len(content)}")
        else:
            self.send_response(200)
        if self.server.lengths:
            self.send_header("Content-Length", str(len(content) - start))
        self.send_header("ETag", f'"{hashlib.sha256(content).hexdigest()}"')
        for name, value in self.server.headers.items():
            self.send_header(name, value)
        self.end_headers()
        if body:
            rest = content[start:]
            self.wfile.write(rest[: self.server.cuts.pop(0)] if self.server.cuts else rest)

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def server() -> Iterator[FileServer]:
    with FileServer() as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.02,))
        thread.start()
        yield server
        server.shutdown()
        thread.join()
