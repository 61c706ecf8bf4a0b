"""Answers that come before the body has ended."""

import contextlib

import pytest

from tests.service.live import Live, read_to_end

UPLOAD = "POST /compress?bandwidth=5 HTTP/{}\r\nHost: x\r\nContent-Length: {}\r\n{}\r\n"
"""Of a bandwidth that no model has: refused before the body is read."""


@pytest.mark.parametrize("version", ["1.0", "1.1"])
def test_an_early_answer_reaches_a_client_that_sends_its_whole_body_first(
    server: Live, version: str
) -> None:
    """On a connection that closes afterwards, as urllib and some proxies ask for."""
    head = UPLOAD.format(version, 20_000_000, "Connection: close\r\n")
    with server.connect(head) as connection:
        connection.sendall(bytes(20_000_000))
        answer = read_to_end(connection)
    assert b" 422 " in answer[:20]
    assert answer.endswith(b'"code":"unsupported_bandwidth"}')


def test_expect_100_continue_does_not_have_a_large_body_read(server: Live) -> None:
    with server.connect(UPLOAD.format("1.1", 10**9, "Expect: 100-continue\r\n")) as connection:
        sent = 0
        with contextlib.suppress(ConnectionError):
            while sent < 10**8:
                sent += connection.send(bytes(1 << 16))
    assert sent < 10**8


def test_expect_100_continue_is_not_drained(server: Live) -> None:
    """The client never sends the body of a request that is refused."""
    head = UPLOAD.format("1.1", 1000, "Connection: close\r\nExpect: 100-continue\r\n")
    with server.connect(head) as connection:
        answer = read_to_end(connection)
    assert answer.startswith(b"HTTP/1.1 422 ")
    assert answer.endswith(b'"code":"unsupported_bandwidth"}')
