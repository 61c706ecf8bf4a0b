"""Requests whose framing is ambiguous, wrong or unusual (RFC 9112)."""

import socket
import time
from collections.abc import Callable
from contextlib import suppress

import pytest

from tests.faults.media import long_wav
from tests.faults.target import Target, post_head, received, wait_for
from tests.service.sounds import wav

GET = b"GET /health/live HTTP/1.1\r\nHost: test\r\n\r\n"


def test_a_second_request_cannot_be_smuggled_in_a_body(share: Callable[..., Target]) -> None:
    """RFC 9112 6.1: with both lengths, the connection is closed after the answer."""
    service = share()
    head = b"POST /compress HTTP/1.1\r\nHost: test\r\nContent-Length: 5\r\n"
    head += b"Transfer-Encoding: chunked\r\n\r\n0\r\n\r\n"
    answer = service.exchange(head + GET)
    assert answer.count(b"\ncontent-length:") == 1
    assert answer.startswith(b"HTTP/1.1 400")


def test_other_versions_of_http_are_refused(share: Callable[..., Target]) -> None:
    service = share()
    for version in (b"HTTP/2.0", b"HTTP/3.1", b"HTTP/0.9"):
        answer = service.exchange(b"GET /health/live " + version + b"\r\nHost: test\r\n\r\n")
        assert answer.split(b" ")[1] in (b"400", b"505"), version
        assert answer.count(b"\ncontent-length:") == 1


def test_hosts_that_are_none_are_refused(share: Callable[..., Target]) -> None:
    service = share()
    for host in (b"a b/../c", b"a/b", b"user@host", b"a,b", b"[::1"):
        request = b"GET /health/live HTTP/1.1\r\nHost: " + host + b"\r\n\r\n"
        assert service.exchange(request).startswith(b"HTTP/1.1 400"), host
    for host in (b"localhost:8000", b"[::1]:80", b"example.org", b""):
        request = b"GET /health/live HTTP/1.1\r\nConnection: close\r\nHost: " + host + b"\r\n\r\n"
        assert service.exchange(request).startswith(b"HTTP/1.1 200"), host


def test_targets_in_absolute_form_work_and_user_information_is_not_kept(
    share: Callable[..., Target],
) -> None:
    """RFC 9112 3.2.2."""
    service = share()
    request = b"GET http://ann:secret@test/nowhere?x=1 HTTP/1.1\r\nHost: test\r\n"
    answer = service.exchange(request + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 404")
    assert b"secret" not in answer
    request = b"GET http://test:80/health/live HTTP/1.1\r\nHost: test\r\n"
    answer = service.exchange(request + b"Connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200")
    assert not [line for line in service.process.lines if "secret" in line]


def test_a_client_that_half_closes_gets_its_answer(share: Callable[..., Target]) -> None:
    service = share()
    file = wav(3.0)
    with service.connect(post_head("/compress", length=len(file)) + file) as connection:
        connection.shutdown(1)
        answer = received(connection)
    probes, _, rest = answer.partition(b"HTTP/1.1 200")
    assert probes in (b"", *(n * b"HTTP/1.1 102 Processing\r\n\r\n" for n in (1, 2, 3)))
    assert b"ECDC" in rest


@pytest.mark.parametrize("kind", ["close", "1.0", "chunked"])
def test_so_does_one_whose_connection_is_not_kept(share: Callable[..., Target], kind: str) -> None:
    service = share()
    file = wav(3.0)
    request = post_head("/compress", "Connection: close", length=len(file)) + file
    if kind == "1.0":
        request = (post_head("/compress", length=len(file)) + file).replace(b"1.1", b"1.0", 1)
    if kind == "chunked":
        request = post_head("/compress", "Connection: close")
        request += b"%x\r\n%s\r\n0\r\n\r\n" % (len(file), file)
    with service.connect(request) as connection:
        connection.shutdown(socket.SHUT_WR)
        answer = received(connection)
    assert b"HTTP/1.1 200" in answer
    assert b"ECDC" in answer
    assert (b" 102 " in answer) <= (kind != "1.0")


@pytest.mark.parametrize("version", [b"1.0", b"1.1"])
def test_a_half_closed_client_that_leaves_is_noticed(
    share: Callable[..., Target], version: bytes
) -> None:
    """The system of such a client answers for it for a while; here for a second."""
    service = share("--threads", "1")
    file = long_wav(1800)
    head = post_head("/compress?lm=true&format=1", length=len(file)).replace(b"1.1", version, 1)
    with service.connect() as connection:
        connection.setsockopt(socket.IPPROTO_TCP, socket.TCP_LINGER2, 1)
        connection.sendall(head + file)
        wait_for(lambda: service.metric("encodec_requests_open") == 1)
        connection.shutdown(socket.SHUT_WR)
    wait_for(lambda: service.metric("encodec_requests_open") == 0)
    assert any('"status": 499' in line for line in service.process.lines)


def test_pipelined_requests_are_all_answered(share: Callable[..., Target]) -> None:
    service = share()
    file = wav(0.3)
    upload = post_head("/compress", length=len(file)) + file
    last = post_head("/compress", "Connection: close", length=len(file)) + file
    answer = service.exchange(20 * upload + last)
    assert answer.count(b"HTTP/1.1 200") == 21
    assert answer.count(b"ECDC") == 21
    many = 3000 * GET + GET.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n")
    answer = service.exchange(upload + many)
    assert answer.count(b"HTTP/1.1 200") == 3002


def test_framing_is_weighed_in_each_pipelined_body(share: Callable[..., Target]) -> None:
    service = share()
    file = wav(3.0)
    upload = post_head("/compress", length=len(file)) + file
    with service.connect(3 * upload + post_head("/compress")) as connection:
        with suppress(OSError):
            connection.sendall(b"1\r\nx\r\n" * 200_000)
        answer = received(connection)
    assert answer.count(b"HTTP/1.1 200") == 3
    assert b"more framing than data" in answer


def test_a_client_that_half_closes_before_its_body_ends_frees_everything(
    share: Callable[..., Target],
) -> None:
    service = share()
    file = wav(3.0)
    with service.connect(post_head("/compress", length=2 * len(file)) + file) as connection:
        connection.shutdown(1)
        received(connection)
    service.compress_works()
    assert service.metric("encodec_permits_held") == 0


def test_long_paths_and_methods_are_neither_logged_nor_echoed_whole(
    share: Callable[..., Target],
) -> None:
    service = share()
    for request in (
        b"GET /" + b"a" * 60_000 + b" HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
        b"G" * 60_000 + b" / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n",
    ):
        answer = service.exchange(request)
        assert answer.startswith((b"HTTP/1.1 404", b"HTTP/1.1 405", b"HTTP/1.1 400"))
        assert len(answer) < 3000
    time.sleep(0.2)
    assert max(len(line) for line in service.process.lines) < 3000


def test_an_unauthorised_upload_is_not_read_to_its_end(start: Callable[..., Target]) -> None:
    service = start("--api-keys", "key-of-sixteen-characters")
    sent = 0
    with service.connect(post_head("/compress", length=400_000_000)) as connection:
        try:
            while sent < 400_000_000:
                sent += connection.send(bytes(1 << 20))
        except OSError:
            pass
    assert sent < 40_000_000
