"""Jobs over HTTP: the same bytes as the call at once, what is seen of them, and what is refused."""

import time
from base64 import b64encode
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from hashlib import sha256
from pathlib import Path
from typing import Any

import httpx
import pytest
from structlog.testing import capture_logs

from service.jobs.database import sqlite_url
from service.jobs.store import Store, StoreError
from tests.service.calls import compressed, refused
from tests.service.jobs.asked import (
    ASYNC,
    Document,
    asked,
    ended,
    files_in,
    folders_in,
    reached,
    result,
    seen,
)
from tests.service.live import Live, live, wait_for
from tests.service.sounds import encoded, wav


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("jobs")


@pytest.fixture(scope="module")
def working(weights: Path, folder: Path) -> Iterator[Live]:
    """A service that keeps jobs."""
    with live(weights, jobs_dir=folder, cors_origins="https://friend.example") as running:
        yield running


@pytest.fixture
def client(working: Live) -> Iterator[httpx.Client]:
    with working.client() as connected:
        yield connected


def own(headers: httpx.Headers) -> dict[str, str]:
    """What an answer says of its file."""
    names = ("content-type", "content-disposition", "content-length")
    return {
        n: v for n, v in headers.items() if n in names or n.startswith(("x-encodec", "x-audio"))
    }


CALLS: list[tuple[str, dict[str, Any], dict[str, str]]] = [
    ("/compress", {}, {}),
    ("/compress", {"model": "encodec_48khz", "format": 1, "effort": 1}, {}),
    ("/compress", {"lm": True, "format": 1, "verify": True}, {"accept": "audio/x-encodec"}),
    ("/decompress", {}, {}),
    ("/decompress", {"output": "flac", "rescale": True}, {}),
    ("/decompress", {"start": 0.5, "end": 1.0, "sample_rate": 8000}, {"accept": "audio/mpeg"}),
    ("/roundtrip", {"bandwidth": 12}, {"accept": "audio/flac"}),
]


@pytest.mark.parametrize(("call", "params", "headers"), CALLS)
def test_the_result_is_the_answer_of_the_call(
    client: httpx.Client, call: str, params: dict[str, Any], headers: dict[str, str]
) -> None:
    body = compressed(client, wav(1.5)) if call == "/decompress" else encoded("flac")
    wanted = client.post(call, content=body, params=params, headers=headers)
    assert wanted.status_code == 200
    job = ended(client, asked(client, call, body, headers, **params))
    assert job["call"] == call[1:]
    found = result(client, job)
    assert found.content == wanted.content
    same = own(found.headers)
    if "content-length" not in wanted.headers:  # a file knows its length
        same.pop("content-length")
    assert same == own(wanted.headers)
    assert job["progress"]["share"] == 1
    assert job["result_bytes"] == len(found.content)
    seconds = float(wanted.headers["x-audio-duration"]) * (2 if params.get("rescale") else 1)
    assert job["progress"]["seconds"] == pytest.approx(seconds, abs=0.1)


def test_a_file_in_a_form_keeps_its_name(client: httpx.Client) -> None:
    for path in ("/compress", "/compress/upload"):
        files = {"file": ("Übung.wav", wav(0.5), "audio/wav")}
        wanted = client.post(path, files=files, params={"format": 1})
        answer = client.post(path, files=files, params={"format": 1}, headers=ASYNC)
        assert answer.status_code == 202
        found = result(client, ended(client, answer.json()))
        assert found.content == wanted.content
        assert own(found.headers) == own(wanted.headers)


def test_parts_of_a_result(client: httpx.Client) -> None:
    job = ended(client, asked(client, "/roundtrip", wav(1.0)))
    whole = result(client, job)
    etag = whole.headers["etag"]
    assert whole.headers["vary"] == "Accept, Origin"
    part = result(client, job, range="bytes=100-199", **{"if-range": etag})
    assert part.status_code == 206
    assert part.headers["content-range"] == f"bytes 100-199/{len(whole.content)}"
    assert part.content == whole.content[100:200]
    assert result(client, job, range="bytes=-7").content == whole.content[-7:]
    assert result(client, job, range="bytes=100-199", **{"if-range": '"other"'}).status_code == 200
    path = f"/jobs/{job['id']}/result"
    behind = client.get(path, headers={"range": f"bytes={len(whole.content)}-"})
    assert (behind.status_code, behind.json()["code"]) == (416, "range_not_satisfiable")
    assert behind.headers["content-range"] == f"bytes */{len(whole.content)}"
    known = client.get(path, headers={"if-none-match": etag})
    assert known.status_code == 304
    for name in ("etag", "cache-control", "vary"):
        assert known.headers[name] == whole.headers[name]
    head = client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-length"] == str(len(whole.content))
    assert head.headers["etag"] == etag


def test_what_is_wrong_is_said_at_once_where_it_is_known(client: httpx.Client) -> None:
    def ask(call: str, content: bytes = b"", **params: Any) -> httpx.Response:
        return client.post(call, content=content, params=params, headers=ASYNC)

    refused(ask("/compress", wav(0.1), bandwidth=7), 422, "unsupported_bandwidth")
    refused(ask("/compress", wav(0.1), bandwith=6), 422, "bad_parameter")
    refused(ask("/compress"), 400, "empty_body")
    nothing = client.post("/roundtrip", content=wav(0.1), headers=ASYNC | {"accept": "text/html"})
    refused(nothing, 406, "not_acceptable")
    wrong = f"sha-256=:{b64encode(sha256(b'other').digest()).decode()}:"
    other = client.post("/compress", content=wav(0.1), headers=ASYNC | {"content-digest": wrong})
    refused(other, 400, "digest_mismatch")


def test_a_failure_is_the_problem_of_the_call(client: httpx.Client, folder: Path) -> None:
    file = compressed(client, wav(2.5), format=1)
    broken = file[: len(file) // 2] + b"\0" + file[len(file) // 2 + 1 :]
    for call, body in (("/compress", b"no audio at all"), ("/decompress", broken)):
        wanted = client.post(call, content=body).json()
        job = ended(client, asked(client, call, body), "failed")
        assert job["problem"] == wanted
        assert "result" not in {name for name, path in job["links"].items() if path}
        answer = client.get(f"/jobs/{job['id']}/result")
        assert answer.status_code == wanted["status"]
        assert answer.json() == wanted
        assert job["id"] not in folders_in(folder)


def test_a_file_that_is_broken_in_the_middle_fails_with_the_reason(client: httpx.Client) -> None:
    """Where the call at once has begun its answer, and can only cut it off."""
    file = compressed(client, wav(4.0), lm=True)
    file = file[: len(file) // 2]
    with pytest.raises(httpx.RemoteProtocolError):
        client.post("/decompress", content=file)
    job = ended(client, asked(client, "/decompress", file), "failed")
    assert job["problem"]["code"] == "truncated_ecdc"


def test_ids_that_are_none(client: httpx.Client) -> None:
    for id in ("x", "a" * 32, "..%2f..%2fetc%2fpasswd", "%00" * 8):
        for method, path in (("GET", ""), ("DELETE", ""), ("GET", "/result")):
            answer = client.request(method, f"/jobs/{id}{path}")
            refused(answer, 404, "not_found")
    refused(client.get("/jobs"), 404, "not_found")


def test_a_job_that_has_ended_is_forgotten_when_it_is_deleted(
    client: httpx.Client, folder: Path
) -> None:
    job = ended(client, asked(client, "/compress", wav(0.5)))
    kept = f"{job['id']}/result-1"  # and no upload any more
    wait_for(lambda: [name for name in files_in(folder) if name.startswith(job["id"])] == [kept])
    assert client.delete(f"/jobs/{job['id']}").status_code == 204
    refused(client.get(f"/jobs/{job['id']}"), 404, "not_found")
    refused(client.delete(f"/jobs/{job['id']}"), 404, "not_found")
    assert job["id"] not in folders_in(folder)


def test_a_running_job_is_cancelled(client: httpx.Client, working: Live, folder: Path) -> None:
    job = asked(client, "/compress", wav(60), effort=3, lm=True, format=1)
    wait_for(lambda: seen(client, job)["progress"]["seconds"] > 0)
    before = seen(client, job)
    assert before["state"] == "running"
    assert 0 < before["progress"]["share"] < 1
    wanted = client.get(f"/jobs/{job['id']}/result")
    refused(wanted, 409, "job_not_done")
    assert "retry-after" in wanted.headers
    assert client.delete(f"/jobs/{job['id']}").status_code == 204
    assert ended(client, job, "cancelled")["expires"]
    wait_for(lambda: job["id"] not in folders_in(folder))
    working.wait_until_idle()
    wanted = client.get(f"/jobs/{job['id']}/result")
    refused(wanted, 409, "job_not_done")
    assert "retry-after" not in wanted.headers
    assert client.delete(f"/jobs/{job['id']}").status_code == 204
    refused(client.get(f"/jobs/{job['id']}"), 404, "not_found")


def test_an_idempotency_key_is_one_job(client: httpx.Client) -> None:
    body = wav(0.7, seed=5)
    key = {"idempotency-key": "seven"}
    job = asked(client, "/compress", body, key)
    assert asked(client, "/compress", body, key)["id"] == job["id"]
    ended(client, job)
    assert asked(client, "/compress", body, key)["id"] == job["id"]

    def ask(call: str, content: bytes, **params: Any) -> httpx.Response:
        return client.post(call, content=content, params=params, headers=ASYNC | key)

    refused(ask("/compress", wav(0.7, seed=6)), 422, "idempotency_mismatch")
    refused(ask("/compress", body, bandwidth=3), 422, "idempotency_mismatch")
    refused(ask("/roundtrip", body), 422, "idempotency_mismatch")
    client.delete(f"/jobs/{job['id']}")
    assert asked(client, "/roundtrip", body, key)["id"] != job["id"]


def test_an_upload_that_breaks_off_leaves_nothing(
    client: httpx.Client, working: Live, folder: Path
) -> None:
    before = folders_in(folder)
    head = (
        "POST /compress HTTP/1.1\r\nHost: x\r\nPrefer: respond-async\r\n"
        "Idempotency-Key: broken\r\nContent-Length: 1000000\r\n\r\n"
    )
    connection = working.connect(head.encode() + bytes(100_000))
    wait_for(lambda: len(folders_in(folder)) > len(before))
    again = client.post("/compress", content=b"x", headers=ASYNC | {"idempotency-key": "broken"})
    refused(again, 409, "idempotency_in_use")
    connection.close()
    wait_for(lambda: folders_in(folder) == before)

    def ask() -> httpx.Response:
        key = {"idempotency-key": "broken"}
        return client.post("/compress", content=wav(0.2), headers=ASYNC | key)

    wait_for(lambda: ask().status_code != 409)  # its files go first, then its key is free
    ended(client, ask().json())


def test_an_upload_that_the_end_of_the_service_cuts_off_leaves_nothing(
    weights: Path, tmp_path: Path
) -> None:
    head = (
        "POST /compress HTTP/1.1\r\nHost: x\r\nPrefer: respond-async\r\nContent-Length: 99\r\n\r\n"
    )
    with ThreadPoolExecutor(1) as reading:
        with live(weights, jobs_dir=tmp_path, shutdown_grace=0) as running:
            upload = running.connect(head + "x")

            def leave_when_answered() -> bytes:
                with upload:
                    return upload.recv(100)

            answer = reading.submit(leave_when_answered)
            wait_for(lambda: files_in(tmp_path))
        assert answer.result().startswith(b"HTTP/1.1 503 ")
    assert folders_in(tmp_path) == []
    store = Store(sqlite_url(str(tmp_path / "jobs.sqlite3")))
    assert store.ids() == set()
    store.close()


def test_a_job_that_is_queued_after_all_keeps_its_input(
    client: httpx.Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database has done it, and its answer is lost."""
    done = Store.enqueue

    def enqueue(self: Store, *arguments: Any) -> bool:
        done(self, *arguments)
        raise StoreError[0]("lost", {}, OSError())

    monkeypatch.setattr(Store, "enqueue", enqueue)
    headers = ASYNC | {"idempotency-key": "lost"}
    body = wav(0.3, seed=7)
    refused(client.post("/compress", content=body, headers=headers), 503, "unavailable")
    monkeypatch.undo()
    job = ended(client, asked(client, "/compress", body, headers))
    assert result(client, job).content == client.post("/compress", content=body).content


def test_an_attempt_that_lost_its_job_to_its_own_service(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The database is away for longer than the lease, and the next attempt begins beside it."""
    renew, until = Store.renew, [0.0]

    def away(self: Store, *arguments: Any) -> bool:
        if time.monotonic() < until[0]:
            raise StoreError[0]("away", {}, OSError())
        return renew(self, *arguments)

    monkeypatch.setattr(Store, "renew", away)
    options = {"jobs_dir": tmp_path, "job_lease": 1, "max_running_jobs": 2}
    with live(weights, **options) as running, capture_logs() as logged, running.client() as client:
        job = asked(client, "/compress", wav(30), effort=3, lm=True, format=1)
        reached(client, job, ("running",), "running")
        until[0] = time.monotonic() + 2.5
        wait_for(lambda: _tries(running, job) > 1)
        ended(client, job)
    assert "unexpected error" not in [line["event"] for line in logged]


def _tries(running: Live, job: Document) -> int:
    found = running.app.state.jobs._store.get(job["id"])
    return int(found.tries)


def test_what_only_a_job_can_have(client: httpx.Client, server: Live) -> None:
    for name in ("source", "destination", "webhook"):
        url = {name: "https://example.org/x"}
        answer = client.post("/compress", content=wav(0.1), params=url)
        problem = refused(answer, 422, "bad_parameter")
        assert [error["name"] for error in problem["errors"]] == [name]
        answer = client.post("/compress", content=wav(0.1), params=url, headers=ASYNC)
        refused(answer, 403, "url_forbidden")
    with server.client() as other:  # it keeps no jobs
        answer = other.post("/compress", content=wav(0.1), headers=ASYNC)
        assert answer.status_code == 200
        assert "preference-applied" not in answer.headers
        refused(other.get(f"/jobs/{'a' * 32}"), 404, "not_found")


def test_a_job_belongs_to_its_key(weights: Path, tmp_path: Path) -> None:
    one, two = {"authorization": "Bearer one"}, {"x-api-key": "zwei"}
    keys = {"api_keys": "one,zwei"}
    with live(weights, jobs_dir=tmp_path, **keys) as running, running.client() as client:
        refused(client.post("/compress", content=wav(0.1), headers=ASYNC), 401, "unauthorized")
        jobs = [asked(client, "/compress", wav(0.1 * n), one) for n in (1, 2)]
        for job in jobs:
            ended(client, job, **one)
            refused(client.get(f"/jobs/{job['id']}", headers=two), 404, "not_found")
            refused(client.get(f"/jobs/{job['id']}/result", headers=two), 404, "not_found")
            refused(client.delete(f"/jobs/{job['id']}", headers=two), 404, "not_found")
            refused(client.get(f"/jobs/{job['id']}"), 401, "unauthorized")
        assert client.get("/jobs", headers=two).json() == {"jobs": []}
        listed = client.get("/jobs", headers=one).json()["jobs"]
        assert [job["id"] for job in listed] == [job["id"] for job in jobs[::-1]]
        latest = client.get("/jobs", headers=one, params={"limit": 1}).json()["jobs"]
        assert latest == listed[:1]
        result(client, jobs[0], **one)
        key = {"idempotency-key": "same"}
        mine = asked(client, "/compress", wav(0.1), one | key)
        assert asked(client, "/compress", wav(0.1), two | key)["id"] != mine["id"]


def test_many_at_once_are_no_more_than_may_be(weights: Path, tmp_path: Path) -> None:
    limits = {"max_jobs": 5, "max_open": 100}
    with live(weights, jobs_dir=tmp_path, **limits) as running, running.client() as client:
        key = ASYNC | {"idempotency-key": "one"}
        first = client.post("/compress", content=wav(0.1), headers=key).json()

        def ask(number: int) -> int:
            with running.client() as other:
                return other.post("/compress", content=wav(0.1), headers=ASYNC).status_code

        with ThreadPoolExecutor(40) as threads:
            statuses = Counter(threads.map(ask, range(40)))
        assert statuses == {202: 4, 429: 36}
        again = client.post("/compress", content=wav(0.1), headers=key)
        assert (again.status_code, again.json()["id"]) == (202, first["id"])


def test_jobs_are_bounded_and_expire(weights: Path, tmp_path: Path) -> None:
    limits = {"max_jobs": 2, "max_job_bytes": 400_000, "job_seconds": 3, "job_lease": 1}
    with live(weights, jobs_dir=tmp_path, **limits) as running, running.client() as client:
        jobs = [asked(client, "/compress", wav(0.1)) for _ in range(2)]
        full = client.post("/compress", content=wav(0.1), headers=ASYNC)
        refused(full, 429, "busy")
        assert 1 <= int(full.headers["retry-after"]) <= 10
        for job in jobs:
            ended(client, job)
        wait_for(lambda: client.get(f"/jobs/{jobs[0]['id']}").status_code == 404)
        wait_for(lambda: folders_in(tmp_path) == [])
        for content in (wav(10), iter([wav(10)])):  # of a size that is said, or not
            refused(client.post("/compress", content=content, headers=ASYNC), 429, "busy")
            assert folders_in(tmp_path) == []

        def pieces() -> Iterator[bytes]:
            """Of which there is no end before it is refused: what has come of it is gone then."""
            yield bytes(50_000)
            wait_for(lambda: folders_in(tmp_path))
            while folders_in(tmp_path):
                time.sleep(0.1)
                yield bytes(50_000)

        refused(client.post("/compress", content=pieces(), headers=ASYNC), 429, "busy")
        wait_for(lambda: folders_in(tmp_path) == [])
        # a result that is too large
        ecdc = compressed(client, wav(60), bandwidth=1.5)
        job = ended(client, asked(client, "/decompress", ecdc), "failed")
        assert job["problem"]["code"] == "insufficient_storage"
