"""Clients that are slow, leave while they wait, or do not speak HTTP; on raw sockets."""

import http.client
import json
import re
import socket
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.http.problems import PROBLEM_JSON
from tests.service.calls import long_file
from tests.service.live import Live, live, wait_for
from tests.service.sounds import wav

POST = "POST /compress{} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n{}\r\n"


@pytest.fixture(scope="module")
def strict(weights: Path) -> Iterator[Live]:
    """A service that soon gives up a client, with one permit and one place in the line."""
    with live(
        weights,
        models="encodec_24khz",
        read_timeout=1.5,
        write_timeout=1.5,
        max_requests=1,
        max_waiting=1,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def patient(weights: Path) -> Iterator[Live]:
    """One that waits, with as many."""
    with live(weights, models="encodec_24khz", max_requests=1, max_waiting=1) as running:
        yield running


def connect(server: Live, sent: str | bytes = b"") -> socket.socket:
    connection = socket.create_connection((server.host, server.port), timeout=20)
    connection.sendall(sent.encode() if isinstance(sent, str) else sent)
    return connection


def sent(connection: socket.socket, data: bytes) -> bool:
    try:
        connection.sendall(data)
    except ConnectionError:
        return False
    return True


def cut_off(server: Live) -> float:
    """Answers that were, so far."""
    said = httpx.get(f"{server.url}/metrics").text
    found = re.search(r'encodec_responses_cut_off_total\{route="/decompress"\} (\S+)', said)
    return float(found[1]) if found else 0.0


def to_the_end(connection: socket.socket) -> bytes:
    said = b""
    while more := connection.recv(65_536):
        said += more
    return said


@pytest.mark.parametrize("sent", ["", "GET /health/live HTTP/1.1\r\nHost"])
def test_a_request_that_never_comes_ends_the_connection(strict: Live, sent: str) -> None:
    with connect(strict, sent) as connection:
        assert to_the_end(connection) == b""


def test_a_body_that_never_ends_though_it_was_answered(strict: Live) -> None:
    with connect(strict, POST.format("?bandwidth=5", 10**6, "")) as connection:
        assert b" 422 " in connection.recv(1000)
        wait_for(lambda: not sent(connection, b"x"))


def test_the_end_of_a_body_that_was_answered_begins_a_new_wait(strict: Live) -> None:
    """The connection is then as any other that has nothing to do, and longer than a request may
    take (here: the time kept alive is more than the time for a head)."""
    with connect(strict, POST.format("?bandwidth=5", 10, "") + "12345") as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 422
        answer.read()
        time.sleep(0.3)
        connection.sendall(b"67890")
        time.sleep(2.5)
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_a_connection_is_kept_while_its_answer_is_made(strict: Live, weights: Path) -> None:
    """Longer than the time-outs."""
    with live(weights, models="encodec_24khz", read_timeout=1.5, threads=1) as slow:
        for server in (strict, slow):
            with server.client() as client:
                audio = wav(20)
                answer = client.post("/compress?bandwidth=24&lm=true", content=audio)
                assert answer.status_code == 200
                assert client.post("/inspect", content=answer.content).status_code == 200


def test_a_client_that_takes_nothing_is_cut_off(strict: Live) -> None:
    file, before = long_file(strict, 2_000), cut_off(strict)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with connection:
        connection.settimeout(20)
        connection.connect((strict.host, strict.port))
        head = f"POST /decompress HTTP/1.1\r\nHost: x\r\nContent-Length: {len(file)}\r\n\r\n"
        connection.sendall(head.encode() + file)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        strict.wait_until_idle()
        assert cut_off(strict) == before + 1


def test_a_slow_reader_is_not_cut_off(strict: Live) -> None:
    """Though its system's room is filled for longer than the time-out."""
    file = long_file(strict, 120)
    head = f"POST /decompress HTTP/1.1\r\nHost: x\r\nContent-Length: {len(file)}\r\n\r\n"
    with connect(strict, head.encode() + file) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        size = 0
        while more := answer.read(100_000):
            size += len(more)
            time.sleep(0.2)
    assert size == 44 + 120 * 24_000 * 2


def test_who_leaves_while_it_waits_gives_its_place_up(patient: Live) -> None:
    first = connect(patient, POST.format("", 10**6, ""))
    wait_for(lambda: patient.active == 1)
    second = connect(patient, POST.format("", 1000, ""))
    wait_for(lambda: patient.app.state.admission.waiting == 1)
    with patient.client() as client:
        assert client.post("/compress", content=wav(0.1)).status_code == 429
    second.close()
    wait_for(lambda: patient.app.state.admission.waiting == 0)
    third = connect(patient, POST.format("", 1000, ""))
    wait_for(lambda: patient.app.state.admission.waiting == 1)
    first.close()
    wait_for(lambda: patient.active == 1 and patient.app.state.admission.waiting == 0)
    third.close()
    patient.wait_until_idle()


@pytest.mark.parametrize(
    "sent",
    [
        b"HELLO\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /compress HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nRIFFnext",
    ],
)
def test_what_is_no_http_is_answered_as_all_errors_are(patient: Live, sent: bytes) -> None:
    with connect(patient, sent) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400
        assert answer.reason == "Bad Request"
        assert answer.headers["Content-Type"] == PROBLEM_JSON
        assert len(answer.headers["X-Request-ID"]) == 32
        assert json.loads(answer.read())["code"] == "bad_request"
    patient.wait_until_idle()


def test_the_body_of_a_head_that_is_no_http(patient: Live) -> None:
    errors: list[dict[str, Any]] = []
    patient.loop.set_exception_handler(lambda loop, context: errors.append(context))
    head = "HEAD /health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(patient, f"{head}no chunk\r\n") as connection:
        said = to_the_end(connection)
    patient.loop.set_exception_handler(None)
    assert said.startswith(b"HTTP/1.1 400 ")
    assert said.endswith(b"\r\n\r\n")
    assert not errors


def test_what_is_no_http_after_an_answer_ends_the_connection(patient: Live) -> None:
    head = "POST /compress?bandwidth=5 HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with connect(patient, f"{head}4\r\nRIFF\r\n") as connection:
        assert b" 422 " in connection.recv(1000)
        connection.sendall(b"no chunk\r\n")
        assert b"HTTP/1.1" not in to_the_end(connection)


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_early_answer_reaches_who_sends_everything_first(patient: Live, version: str) -> None:
    """Where the connection is closed afterwards, as urllib and some proxies have it."""
    head = POST.replace("1.1", version).format("?bandwidth=5", 20_000_000, "Connection: close\r\n")
    with connect(patient, head) as connection:
        connection.sendall(bytes(20_000_000))
        said = to_the_end(connection)
    assert b" 422 " in said[:20]
    assert said.endswith(b'"code":"unsupported_bandwidth"}')


def test_who_asks_before_it_sends_is_not_waited_for(patient: Live) -> None:
    head = POST.format("?bandwidth=5", 1000, "Connection: close\r\nExpect: 100-continue\r\n")
    with connect(patient, head) as connection:
        said = to_the_end(connection)
    assert said.startswith(b"HTTP/1.1 422 ")
    assert said.endswith(b'"code":"unsupported_bandwidth"}')


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/models", "/metrics", "/openapi.json", "/docs"]
)
def test_head_is_get_without_the_body(patient: Live, path: str) -> None:
    got, head = httpx.get(f"{patient.url}{path}"), httpx.head(f"{patient.url}{path}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert int(head.headers["Content-Length"]) > 0


def test_a_file_of_another_kind_is_refused_at_once(patient: Live) -> None:
    """Not after gigabytes of it."""
    head = f"POST /decompress HTTP/1.1\r\nHost: x\r\nContent-Length: {5 * 10**9}\r\n\r\n"
    with connect(patient, head.encode() + wav(3)) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400
        assert json.loads(answer.read())["code"] == "broken_ecdc"
