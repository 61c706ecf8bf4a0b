"""Inputs from URLs and buckets, and results put into buckets, on a trusted network."""

import asyncio
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import fsspec
import httpx
import pytest
from fsspec.implementations.memory import MemoryFileSystem

from service.http.problems import Problem, ProblemCode
from service.jobs.transfer import fetch, put
from service.settings import Settings
from tests.service.calls import refused
from tests.service.jobs.asked import ASYNC, asked, ended, folders_in, result
from tests.service.jobs.web import Web, web
from tests.service.live import Live, live
from tests.service.sounds import wav


@pytest.fixture(scope="module")
def place() -> Iterator[Web]:
    with web() as serving:
        yield serving


@pytest.fixture(scope="module")
def working(weights: Path, tmp_path_factory: pytest.TempPathFactory, place: Web) -> Iterator[Live]:
    settings: dict[str, Any] = {
        "input_urls": f"{place.url}/in/,memory://in/",
        "output_urls": "memory://out/",
        "private_urls": True,
        "url_timeout": 2,
        "max_upload_bytes": 200_000,
        "jobs_dir": tmp_path_factory.mktemp("jobs"),
    }
    with live(weights, **settings) as running:
        yield running


@pytest.fixture
def client(working: Live) -> Iterator[httpx.Client]:
    with working.client() as connected:
        yield connected


def failed(client: httpx.Client, source: str) -> str:
    """The code with which a job of this source fails."""
    code: str = ended(client, asked(client, "/compress", source=source), "failed")["problem"][
        "code"
    ]
    return code


def test_a_source_is_as_an_upload(client: httpx.Client, place: Web) -> None:
    body = wav(0.8)
    place.files["/in/Ünder.wav"] = body
    files = {"file": ("Ünder.wav", body, "audio/wav")}
    wanted = client.post("/compress", files=files, params={"format": 1})
    for url in ("/in/%C3%9Cnder.wav?sign=1", "/in/to?url=%2Fin%2F%25C3%259Cnder.wav"):
        job = ended(client, asked(client, "/compress", source=place.url + url, format=1))
        assert job["input_bytes"] is None
        found = result(client, job)
        if "to?" not in url:  # the name of which is `to`
            assert found.content == wanted.content
        assert found.headers["x-audio-duration"] == wanted.headers["x-audio-duration"]


def test_sources_that_fail(client: httpx.Client, working: Live, place: Web) -> None:
    place.files |= {
        "/in/large.wav": bytes(300_000),
        "/in/empty": b"",
        "/in/text": b"no audio",
        "/in/x.gz": b"x",
        "/out/x.wav": wav(0.1),
    }
    assert failed(client, f"{place.url}/in/missing") == "url_failed"
    assert failed(client, f"{place.url}/in/large.wav") == "too_large"
    assert failed(client, f"{place.url}/in/empty") == "empty_body"
    assert failed(client, f"{place.url}/in/text") == "undecodable_audio"
    assert failed(client, f"{place.url}/in/x.gz") == "url_failed"
    assert failed(client, f"{place.url}/in/slow") == "url_failed"
    for to in (f"{place.url}/out/x.wav", "/out/x.wav", "file:///etc/passwd", "http://localhost/"):
        assert failed(client, f"{place.url}/in/to?url={to}") == "url_forbidden"
    assert failed(client, f"{place.url}/in/to?url=http://xn--/in/x") in (
        "url_failed",
        "url_forbidden",
    )
    assert failed(client, f"{place.url}/in/to?url=/in/to?url=/in/to") in (
        "url_failed",
        "url_forbidden",
    )
    url = f"{place.url}/in/text"
    answer = client.post("/compress", params={"source": url}, content=b"x", headers=ASYNC)
    refused(answer, 400, "bad_request")
    folder = working.app.state.settings.jobs_dir
    assert all(list((folder / "files" / name).iterdir()) for name in folders_in(folder))


def test_what_a_redirect_says_besides_is_not_read(client: httpx.Client, place: Web) -> None:
    place.files["/in/short.wav"] = wav(0.2)
    ended(client, asked(client, "/compress", source=f"{place.url}/in/long-to?url=short.wav"))
    assert place.wasted < 32  # what is on the way, of 64


@pytest.mark.parametrize("kind", ["audio/ü".encode(), b"audio/\xff", b"multipart/form-data"])
def test_what_a_server_calls_a_source_breaks_nothing(
    client: httpx.Client, place: Web, kind: bytes
) -> None:
    place.files["/in/odd"] = wav(0.2)
    place.types["/in/odd"] = kind
    ended(client, asked(client, "/compress", source=f"{place.url}/in/odd"))


def test_a_source_that_never_ends_is_given_up(weights: Path, tmp_path: Path, place: Web) -> None:
    settings: dict[str, Any] = {"input_urls": f"{place.url}/in/", "private_urls": True}
    settings |= {"min_rate": 1000, "rate_window": 1, "jobs_dir": tmp_path}
    with live(weights, **settings) as running, running.client() as client:
        source = f"{place.url}/in/slow"
        job = ended(client, asked(client, "/compress", source=source), "failed")
        assert job["problem"]["code"] == "url_failed"


def test_a_body_that_does_not_come_holds_no_place(
    weights: Path, tmp_path: Path, place: Web
) -> None:
    settings = {"input_urls": f"{place.url}/in/", "private_urls": True, "read_timeout": 1}
    head = (
        f"POST /compress?source={place.url}/in/x HTTP/1.1\r\nHost: x\r\n"
        "Prefer: respond-async\r\nContent-Length: 5\r\n\r\n"
    )
    with live(weights, jobs_dir=tmp_path, **settings) as running, running.connect(head) as silent:
        assert silent.recv(1000).startswith(b"HTTP/1.1 408 ")
        running.wait_until_idle()


def test_sources_are_no_way_around_the_room_for_jobs(
    weights: Path, tmp_path: Path, place: Web
) -> None:
    place.files["/in/x.wav"] = wav(3)
    settings = {"input_urls": f"{place.url}/in/", "private_urls": True, "max_job_bytes": 100_000}
    with live(weights, jobs_dir=tmp_path, **settings) as running, running.client() as client:
        source = f"{place.url}/in/x.wav"
        job = ended(client, asked(client, "/compress", source=source), "failed")
        assert job["problem"]["code"] == "insufficient_storage"
        assert not list((tmp_path / "files").glob("*/*"))


def test_buckets(client: httpx.Client) -> None:
    bucket = fsspec.filesystem("memory")
    body = wav(0.6)
    bucket.pipe("/in/a/b.wav", body)
    wanted = client.post("/compress", content=body).content
    job = asked(
        client, "/compress", source="memory://in/a/b.wav", destination="memory://out/b.ecdc"
    )
    job = ended(client, job)
    assert job["destination"] == "memory://out/b.ecdc"
    assert bucket.cat("/out/b.ecdc") == wanted
    assert result(client, job).content == wanted
    assert failed(client, "memory://in/missing") == "url_failed"
    for name in ("memory://in/x", "memory://out/../in/x", "s3://out/x", "file:///tmp/x"):
        answer = client.post("/compress", content=body, params={"destination": name}, headers=ASYNC)
        refused(answer, 403, "url_forbidden")


class Hanging(MemoryFileSystem):  # type: ignore[misc]  # it has no types
    """A bucket that answers nothing before it is `released`."""

    protocol = "oci"
    released = threading.Event()

    def open(self, *arguments: Any, **named: Any) -> Any:
        self.released.wait()

    put_file = open


@pytest.mark.parametrize("way", ["in", "out"])
def test_a_bucket_that_hangs_does_not_hold_up_the_end(way: str, tmp_path: Path) -> None:
    fsspec.register_implementation("oci", Hanging, clobber=True)
    Hanging.released.clear()
    settings = Settings(input_urls=("oci://in/",), output_urls=("oci://out/",), url_timeout=0.1)
    url, file = f"oci://{way}/x", tmp_path / "x"
    release = threading.Timer(20, Hanging.released.set)
    release.start()
    with pytest.raises(Problem) as failure:  # and the loop waits for the threads of its executor
        asyncio.run(fetch(url, file, settings) if way == "in" else put(file, url, settings))
    assert failure.value.code is ProblemCode.URL_FAILED
    assert not Hanging.released.is_set()
    release.cancel()
    Hanging.released.set()
