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

from service.http.connection import Connection
from service.http.problems import PROBLEM_JSON
from tests.service.calls import long_file
from tests.service.live import Live, live, read_to_end, wait_for
from tests.service.sounds import wav

UPLOAD = "POST /compress{} HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"
REFUSED = "?bandwidth=5"
"""What no model has: answered 422 before the body is read."""
DECOMPRESS = "POST /decompress HTTP/1.1\r\nHost: x\r\nContent-Length: {}\r\n\r\n"


@pytest.fixture(scope="module")
def strict(weights: Path) -> Iterator[Live]:
    """A service with short time-outs for reading and writing."""
    with live(weights, models="encodec_24khz", read_timeout=0.8, write_timeout=0.8) as running:
        yield running


@pytest.fixture(scope="module")
def narrow(weights: Path) -> Iterator[Live]:
    """A service with one permit and one place in the waiting line."""
    with live(weights, models="encodec_24khz", max_requests=1, max_waiting=1) as running:
        yield running


def sent(connection: socket.socket, data: bytes) -> bool:
    """Whether the connection still took `data`."""
    try:
        connection.sendall(data)
    except ConnectionError:
        return False
    return True


def cut_off(server: Live) -> float:
    """How many answers of `/decompress` were cut off so far."""
    metrics = httpx.get(f"{server.url}/metrics").text
    found = re.search(r'encodec_responses_cut_off_total\{route="/decompress"\} (\S+)', metrics)
    return float(found[1]) if found else 0.0


@pytest.mark.parametrize("sent", ["", "GET /health/live HTTP/1.1\r\nHost"])
def test_a_head_that_does_not_arrive_in_time_closes_the_connection(strict: Live, sent: str) -> None:
    with strict.connect(sent) as connection:
        assert read_to_end(connection) == b""


def test_an_endless_body_after_an_early_answer_closes_the_connection(strict: Live) -> None:
    with strict.connect(UPLOAD.format(REFUSED, 10**6)) as connection:
        assert b" 422 " in connection.recv(1000)
        wait_for(lambda: not sent(connection, b"x"))


def test_keep_alive_begins_when_the_body_of_an_answered_request_ends(strict: Live) -> None:
    """The connection then stays open for longer than a request's head may take."""
    with strict.connect(UPLOAD.format(REFUSED, 10) + "12345") as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 422
        answer.read()
        time.sleep(0.3)
        connection.sendall(b"67890")
        time.sleep(1.5)
        connection.sendall(b"GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n")
        assert connection.recv(1000).startswith(b"HTTP/1.1 200 ")


def test_time_outs_do_not_end_a_request_that_is_computed(weights: Path) -> None:
    timeouts = {"read_timeout": 0.1, "write_timeout": 0.1}
    with (
        live(weights, models="encodec_24khz", threads=1, **timeouts) as server,
        server.client() as client,
    ):
        started = time.monotonic()
        answer = client.post("/compress?bandwidth=24&lm=true", content=wav(6))
        assert time.monotonic() - started > 5 * 0.1
        assert answer.status_code == 200
        assert client.post("/inspect", content=answer.content).status_code == 200


def test_a_connection_is_idle_once_its_answers_have_left(
    server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a second request that was sent behind the first."""
    made: list[Connection] = []
    connected = Connection.connection_made

    def noted(self: Connection, transport: Any) -> None:
        connected(self, transport)
        made.append(self)

    monkeypatch.setattr(Connection, "connection_made", noted)
    body = wav(20)
    second = f"POST /roundtrip?effort=3 HTTP/1.1\r\nHost: x\r\nContent-Length: {len(body)}\r\n\r\n"
    first = "GET /health/live HTTP/1.1\r\nHost: x\r\n\r\n"
    with server.connect(first + second) as client:
        assert b"200" in client.recv(1 << 16)
        (connection,) = made
        client.sendall(body[:-1])
        wait_for(lambda: server.open == 1)
        assert connection.idle_since is None
        client.sendall(body[-1:])
        received = 0
        while received < 20 * 48_000:
            received += len(client.recv(1 << 16))
        wait_for(lambda: connection.idle_since is not None)


def test_a_client_that_reads_nothing_is_cut_off(strict: Live) -> None:
    file, before = long_file(strict, 2_000), cut_off(strict)
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    with connection:
        connection.settimeout(20)
        connection.connect((strict.host, strict.port))
        connection.sendall(DECOMPRESS.format(len(file)).encode() + file)
        assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        strict.wait_until_idle()
        assert cut_off(strict) == before + 1


def test_a_client_that_reads_slowly_is_not_cut_off(strict: Live) -> None:
    """Although the buffers of its system stay full for longer than the time-out."""
    file = long_file(strict, 120)
    with strict.connect(DECOMPRESS.format(len(file)).encode() + file) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        size = 0
        while more := answer.read(100_000):
            size += len(more)
            time.sleep(0.1)
    assert size == 44 + 120 * 24_000 * 2


def test_a_client_that_leaves_the_waiting_line_frees_its_place(narrow: Live) -> None:
    admission = narrow.app.state.admission
    upload = UPLOAD.format("", len(wav(0.1))).encode() + wav(0.1)
    with narrow.permit_held():
        first = narrow.connect(upload)
        wait_for(lambda: admission.waiting == 1)
        with narrow.client() as client:
            assert client.post("/compress", content=wav(0.1)).status_code == 429
        first.close()
        wait_for(lambda: admission.waiting == 0)
        second = narrow.connect(upload)
        wait_for(lambda: admission.waiting == 1)
    assert second.recv(100).startswith(b"HTTP/1.1 200 ")
    second.close()
    narrow.wait_until_idle()


@pytest.mark.parametrize(
    "sent",
    [
        b"HELLO\r\n\r\n",
        b"GET /health/live HTTP/1.1\r\n\r\n",
        b"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: many\r\n\r\n",
        b"POST /compress HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n4\r\nRIFFnext",
    ],
)
def test_malformed_http_is_answered_with_a_problem_document(server: Live, sent: bytes) -> None:
    with server.connect(sent) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400
        assert answer.reason == "Bad Request"
        assert answer.headers["Content-Type"] == PROBLEM_JSON
        assert len(answer.headers["X-Request-ID"]) == 32
        assert json.loads(answer.read())["code"] == "bad_request"
    server.wait_until_idle()


def test_a_malformed_head_request_is_answered_without_a_body(server: Live) -> None:
    errors: list[dict[str, Any]] = []
    server.loop.set_exception_handler(lambda loop, context: errors.append(context))
    head = "HEAD /health/live HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect(f"{head}no chunk\r\n") as connection:
        answer = read_to_end(connection)
    server.loop.set_exception_handler(None)
    assert answer.startswith(b"HTTP/1.1 400 ")
    assert answer.endswith(b"\r\n\r\n")
    assert not errors


def test_malformed_http_after_an_answer_closes_the_connection(server: Live) -> None:
    head = f"POST /compress{REFUSED} HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n"
    with server.connect(f"{head}4\r\nRIFF\r\n") as connection:
        assert b" 422 " in connection.recv(1000)
        connection.sendall(b"no chunk\r\n")
        assert b"HTTP/1.1" not in read_to_end(connection)


@pytest.mark.parametrize(
    ("head", "status", "code", "detail"),
    [
        ("GET / HTTP/1.1\r\n\r\n", 400, "bad_request", "Missing mandatory Host: header"),
        (f"GET /?{'x' * 200_000} HTTP/1.1\r\nHost: x\r\n\r\n", 431, "head_too_large", "64 KiB"),
        (f"GET / HTTP/1.1\r\nHost: x\r\nX: {'x' * 200_000}", 431, "head_too_large", "64 KiB"),
        ("nonsense\r\n\r\n", 400, "bad_request", "this is not HTTP/1.1"),
    ],
    ids=["host", "target", "header", "nonsense"],
)
def test_what_is_wrong_with_a_head_is_said(
    strict: Live, head: str, status: int, code: str, detail: str
) -> None:
    with strict.connect(head) as connection:
        answer = read_to_end(connection).decode()
    assert answer.startswith(f"HTTP/1.1 {status} ")
    assert f'"code":"{code}"' in answer
    assert detail in answer
