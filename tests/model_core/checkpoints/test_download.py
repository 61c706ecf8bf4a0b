"""Downloads from a real server on this machine: cut off, resumed, wrong, late, absent."""

import hashlib
import re
import socket
import threading
import time
from pathlib import Path

import pytest
from huggingface_hub import close_session

from model_core.checkpoints.download import Patience, fetch, unreachable
from model_core.checkpoints.hub import fetch_hub_folder
from model_core.errors import WeightsError, WeightsUnavailableError
from tests.model_core.checkpoints.conftest import FileServer

CONTENT = bytes(range(256)) * 4096 * 3  # 3 MiB
SHA256 = hashlib.sha256(CONTENT).hexdigest()
PATIENCE = Patience(connect=2, read=2, attempts=3, pause=0.01)


@pytest.fixture
def url(server: FileServer) -> str:
    server.files["/weights.th"] = CONTENT
    return f"{server.url}weights.th"


@pytest.fixture(params=["socks5://127.0.0.1:1", "foo://127.0.0.1:1", "http://[::1"])
def unusable(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """A proxy that nothing can be asked through."""
    monkeypatch.setenv("ALL_PROXY", request.param)


UNUSABLE = "socksio|foo|Invalid port"


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "cache" / "weights.th"


def ranges(server: FileServer) -> list[str | None]:
    return [wanted for method, _, wanted in server.requests if method == "GET"]


def test_whole_at_once(url: str, path: Path) -> None:
    fetch(url, path, SHA256[:8], PATIENCE)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]


def test_cut_off_and_continued(url: str, path: Path, server: FileServer) -> None:
    server.cuts = [len(CONTENT) // 2, 1000]
    fetch(url, path, SHA256[:8], PATIENCE)
    assert path.read_bytes() == CONTENT
    half = len(CONTENT) // 2
    assert ranges(server) == [None, f"bytes={half}-", f"bytes={half + 1000}-"]


def test_as_often_as_there_is_progress(url: str, path: Path, server: FileServer) -> None:
    server.cuts = [100_000] * 10
    fetch(url, path, SHA256[:8], PATIENCE)
    assert path.read_bytes() == CONTENT
    assert len(ranges(server)) == 11


def test_continued_by_the_next_process(url: str, path: Path, server: FileServer) -> None:
    path.parent.mkdir()
    path.with_name("weights.th.part").write_bytes(CONTENT[:1000])
    fetch(url, path, SHA256[:8], PATIENCE)
    assert path.read_bytes() == CONTENT
    assert ranges(server)[-1] == "bytes=1000-"


@pytest.mark.parametrize("ranges_too", [True, False])
def test_cut_off_by_a_server_that_tells_no_length(
    ranges_too: bool, url: str, path: Path, server: FileServer
) -> None:
    server.lengths = False
    server.ranges = ranges_too
    server.cuts = [70_000, 1000]
    fetch(url, path, SHA256[:8], PATIENCE)
    assert path.read_bytes() == CONTENT
    assert list(path.parent.iterdir()) == [path]
    assert ranges(server) == [None, "bytes=70000-", f"bytes={71_000 if ranges_too else 1000}-"]


def test_another_file_from_a_server_that_tells_no_length(
    url: str, path: Path, server: FileServer
) -> None:
    server.lengths = server.ranges = False
    with pytest.raises(WeightsUnavailableError, match="another file: its sha256 is wrong"):
        fetch(url, path, "00000000", PATIENCE)
    assert not path.exists()
    server.ranges = True
    with pytest.raises(WeightsError, match="wrong checksum"):
        fetch(url, path, "00000000", PATIENCE)
    assert list(path.parent.iterdir()) == []


def test_server_without_ranges(url: str, path: Path, server: FileServer) -> None:
    server.ranges = False
    server.cuts = [70_000]
    fetch(url, path, SHA256[:8], PATIENCE)
    assert path.read_bytes() == CONTENT


def test_part_of_another_file_is_given_up(url: str, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("weights.th.part").write_bytes(b"of something else")
    fetch(url, path, SHA256[:8], PATIENCE)
    assert path.read_bytes() == CONTENT


def test_part_that_was_complete(url: str, path: Path) -> None:
    path.parent.mkdir()
    path.with_name("weights.th.part").write_bytes(CONTENT)
    fetch(url, path, SHA256[:8], PATIENCE)
    assert path.read_bytes() == CONTENT


def test_wrong_checksum_leaves_nothing(url: str, path: Path) -> None:
    with pytest.raises(WeightsError, match=r"weights\.th: wrong checksum"):
        fetch(url, path, "00000000", PATIENCE)
    assert list(path.parent.iterdir()) == []


def test_wrong_file_is_replaced(url: str, path: Path) -> None:
    path.parent.mkdir()
    path.write_bytes(b"half of it")
    fetch(url, path, SHA256[:8], PATIENCE)
    assert path.read_bytes() == CONTENT


@pytest.mark.parametrize(("status", "attempts"), [(404, 1), (403, 1), (503, 3), (429, 3)])
def test_refusals(status: int, attempts: int, url: str, path: Path, server: FileServer) -> None:
    server.status = status
    with pytest.raises(WeightsUnavailableError, match=f"HTTP {status}"):
        fetch(url, path, SHA256[:8], PATIENCE)
    assert len(server.requests) == attempts
    assert list(path.parent.iterdir()) == []


def test_server_that_sends_from_place_to_place(url: str, path: Path, server: FileServer) -> None:
    server.status = 302
    server.headers = {"Location": url}
    with pytest.raises(WeightsUnavailableError, match="redirect"):
        fetch(url, path, SHA256[:8], PATIENCE)


def test_one_download_for_many_at_once(url: str, path: Path, server: FileServer) -> None:
    threads = [
        threading.Thread(target=fetch, args=(url, path, SHA256[:8], PATIENCE)) for _ in range(4)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert path.read_bytes() == CONTENT
    assert len(server.requests) == 1


def test_server_that_stops_sending(path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        url = f"http://127.0.0.1:{silent.getsockname()[1]}/weights.th"
        with pytest.raises(WeightsUnavailableError, match=url):
            fetch(url, path, SHA256[:8], Patience(connect=0.2, read=0.2, attempts=2, pause=0.01))


def test_reachable(url: str, server: FileServer) -> None:
    assert unreachable(url, 5) is None
    server.status = 405  # takes no HEAD, but is there
    assert unreachable(url, 5) is None
    server.status = 403
    assert unreachable(url, 5) == "HTTP 403"


@pytest.mark.usefixtures("unusable")
def test_a_proxy_that_cannot_be_used_is_said_at_once(path: Path) -> None:
    start = time.monotonic()
    with pytest.raises(WeightsUnavailableError, match=UNUSABLE):
        fetch("https://localhost/weights.th", path, SHA256[:8])
    reason = unreachable("https://localhost/weights.th", 60)
    assert re.search(UNUSABLE, str(reason))
    assert time.monotonic() - start < 30
    assert list(path.parent.iterdir()) == []


@pytest.mark.usefixtures("unusable")
def test_the_hub_behind_a_proxy_that_cannot_be_used(tmp_path: Path) -> None:
    close_session()  # which has seen another environment
    with pytest.raises(WeightsUnavailableError, match=UNUSABLE):
        fetch_hub_folder("encodec_24khz", tmp_path, None)


def test_certificates_that_are_not_there(
    path: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "none.pem"))
    with pytest.raises(WeightsUnavailableError, match="certificates"):
        fetch("https://localhost/weights.th", path, SHA256[:8])


def test_unreachable(tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        port = silent.getsockname()[1]
        start = time.monotonic()
        assert unreachable(f"http://127.0.0.1:{port}/x", 0.3) is not None
        assert time.monotonic() - start < 60, "it must give up by itself"
    assert unreachable(f"http://127.0.0.1:{port}/x", 5) is not None, "nobody listens any more"
