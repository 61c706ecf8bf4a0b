"""The server's side of WebSockets: pings, what they acknowledge, and odd clients."""

import contextlib
import json
import socket

import pytest

from service.http.connection import CONNECTION
from service.live.session import Session
from tests.service.live import Live, read_to_end, wait_for
from tests.service.live_streams.client import next_of, noise, opened

HEAD = (
    "GET /live/relay/pings HTTP/1.1\r\nHost: here\r\nUpgrade: websocket\r\n"
    "Connection: Upgrade\r\nSec-WebSocket-Version: 13\r\n"
    "Sec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
)


@pytest.fixture
def sessions(monkeypatch: pytest.MonkeyPatch) -> list[Session]:
    """The live streams that are opened."""
    found: list[Session] = []
    made = Session.__init__

    def noted(self: Session, *args: object) -> None:
        made(self, *args)  # type: ignore[arg-type]
        found.append(self)

    monkeypatch.setattr(Session, "__init__", noted)
    return found


@pytest.mark.parametrize(
    ("part", "other"),
    [("Sec-WebSocket-Version: 13", "Sec-WebSocket-Version: 12"), ("Sec-WebSocket-Key", "X-Key")],
)
def test_a_handshake_that_is_wrong_is_refused_with_a_problem(
    server: Live, part: str, other: str
) -> None:
    with server.connect(HEAD.replace(part, other)) as connection:
        head, _, body = read_to_end(connection).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 400 ")
    assert b"sec-websocket-version: 13" in head.lower()
    assert b"x-request-id: " in head.lower()
    assert json.loads(body)["code"] == "bad_request"


def test_a_client_that_answers_no_ping_is_cut_off(
    server: Live, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.websocket.PING_INTERVAL", 0.1)
    monkeypatch.setattr("service.http.websocket.PING_TIMEOUT", 0.5)
    with server.connect(HEAD) as connection:
        connection.settimeout(20)
        try:
            received = read_to_end(connection)
        except ConnectionResetError:
            received = b"HTTP/1.1 101"
        assert received.startswith(b"HTTP/1.1 101")
    wait_for(lambda: server.app.state.relays.listeners == 0)


def test_a_client_that_answers_pings_stays(server: Live, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("service.http.websocket.PING_INTERVAL", 0.05)
    monkeypatch.setattr("service.http.websocket.PING_TIMEOUT", 0.3)
    with opened(server, "relay/pings") as connection:
        next_of(connection, "ready")
        with pytest.raises(TimeoutError):
            connection.recv(timeout=1.5)
        connection.send(json.dumps({"type": "ping", "id": 1}))
        assert next_of(connection, "pong")["id"] == 1


def test_what_the_client_has_read_is_acknowledged(
    server: Live, sessions: list[Session], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("service.http.websocket.PING_INTERVAL", 0.1)
    with opened(server, "compress?input=f32") as connection:
        next_of(connection, "ready")
        (session,) = [found for found in sessions if found.kind == "compress"]
        connection.send(noise(24_000).tobytes())
        while not connection.recv(timeout=20):
            pass
        assert session.connection is not None
        wait_for(lambda: session.connection and session.connection.sent > 700)
        wait_for(lambda: session.unacknowledged == 0)
        assert session.websocket.scope["state"][CONNECTION] is session.connection


def test_a_client_that_only_connects_holds_no_place(server: Live) -> None:
    server.wait_until_idle()
    with server.connect(HEAD.replace("relay/pings", "nothing")) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 404")
    assert server.app.state.admission.live == 0


def test_frames_that_are_none_end_the_connection(server: Live) -> None:
    with server.connect(HEAD) as connection:
        connection.settimeout(20)
        connection.recv(4096)
        connection.sendall(b"\xff" * 100)
        try:
            while connection.recv(4096):
                pass
        except ConnectionResetError:
            pass
    wait_for(lambda: server.app.state.relays.listeners == 0)


def test_a_connection_that_is_half_closed_is_over(server: Live) -> None:
    with server.connect(HEAD) as connection:
        connection.settimeout(20)
        connection.recv(4096)
        connection.shutdown(socket.SHUT_WR)
        wait_for(lambda: server.app.state.relays.listeners == 0)


def frame(opcode: int, payload: bytes = b"", final: bool = True) -> bytes:
    """A client's frame (RFC 6455 5.2), masked with zeros."""
    return bytes([opcode | (0x80 if final else 0), 0x80 | len(payload)]) + bytes(4) + payload


def test_a_message_has_no_more_than_a_thousand_fragments(server: Live) -> None:
    with server.connect(HEAD) as connection:
        connection.settimeout(20)
        connection.recv(4096)
        connection.sendall(frame(2, final=False) + 2000 * frame(0, final=False))
        received = b""
        try:
            received = read_to_end(connection)
        except ConnectionResetError:
            return
        assert b"too many fragments" in received


def test_less_is_read_at_once_where_frames_are_small(server: Live, sessions: list[Session]) -> None:
    with opened(server, "compress") as connection:
        next_of(connection, "ready")
        for data, size in ((b"", 1 << 12), (bytes(1 << 19), 1 << 16), (b"", 1 << 12)):
            connection.send(data)
            wait_for(lambda size=size: sessions[0].connection.transport.max_size == size)  # type: ignore[misc,union-attr]


def test_text_that_is_no_text_is_refused_without_a_traceback(
    server: Live, caplog: pytest.LogCaptureFixture
) -> None:
    with server.connect(HEAD) as connection:
        connection.settimeout(20)
        connection.recv(4096)
        connection.sendall(frame(1, b"\xff"))
        received = b""
        while not received.endswith((1007).to_bytes(2)):
            received += connection.recv(4096)
    assert not [record for record in caplog.records if record.exc_info]


def test_a_client_that_only_pings_and_never_reads_is_cut_off(server: Live) -> None:
    with server.connect(HEAD) as connection:
        connection.settimeout(20)
        pings = 200_000 * frame(9, bytes(125))  # more than all buffers hold
        with contextlib.suppress(OSError):  # the system may take all of them before the cut
            connection.sendall(pings)
        wait_for(lambda: server.app.state.relays.listeners == 0)


@pytest.mark.parametrize(
    "field", ["Transfer-Encoding: chunked", "X: " + "x" * 20_000, "\r\n".join(["X: x"] * 300)]
)
def test_a_handshake_that_cannot_be_read_is_refused(server: Live, field: str) -> None:
    with server.connect(HEAD.replace("\r\n\r\n", f"\r\n{field}\r\n\r\n")) as connection:
        connection.settimeout(20)
        received = read_to_end(connection)
    assert received.startswith(b"HTTP/1.1 400 ")
    assert b'"code":"bad_request"' in received
