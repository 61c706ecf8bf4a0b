"""What holds for every live stream: keys, origins, limits, and clients that vanish."""

import base64
import contextlib
import threading
from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest
from structlog.testing import capture_logs
from websockets.exceptions import InvalidStatus

from tests.media import encode, tone
from tests.service.live import NO_TLS, Live, live, wait_for
from tests.service.live_streams.client import (
    END,
    at_once,
    codec_of,
    hear,
    next_of,
    noise,
    opened,
    pieces,
    talk,
    vanish,
)

KEY = "a key / with ümlaut"


@pytest.fixture(scope="module")
def strict(weights: Path) -> Iterator[Live]:
    """A service with keys and narrow limits."""
    with live(
        weights,
        api_keys=KEY,
        cors_origins="https://friend.example",
        max_live=2,
        read_timeout=1,
        write_timeout=1,
        max_audio_seconds=2,
    ) as running:
        yield running


def by_protocol(key: str) -> list[str]:
    """The subprotocols that a browser offers."""
    name = base64.urlsafe_b64encode(key.encode()).decode().rstrip("=")
    return ["encodec.live.v1", f"encodec.key.{name}"]


def test_a_key_is_needed_where_there_are_any(strict: Live) -> None:
    heard = talk(strict, "compress")
    assert (heard.problem, heard.code) == ("unauthorized", 4401)
    assert talk(strict, "compress", subprotocols=by_protocol("another")).code == 4401
    assert talk(strict, "compress", subprotocols=["encodec.key.x"]).code == 4401


def test_a_key_comes_in_a_header_or_as_a_subprotocol(strict: Live) -> None:
    sent = [noise(4000).tobytes()]
    for headers in ({"Authorization": f"Bearer {KEY}"}, {"X-API-Key": KEY}):
        encoded = {name: value.encode().decode("latin-1") for name, value in headers.items()}
        assert talk(strict, "compress?input=f32", sent, additional_headers=encoded).code == 1000
    with opened(strict, "compress?input=f32", subprotocols=by_protocol(KEY)) as connection:
        assert connection.subprotocol == "encodec.live.v1"
        next_of(connection, "ready")


@pytest.mark.parametrize("output", ["ecdc", "s16"])
def test_listeners_count_towards_the_limits_of_their_key(
    weights: Path, tmp_path: Path, output: str
) -> None:
    file = tmp_path / "keys.toml"
    file.write_text('[one]\nsecret = "1"\nconcurrent = 1\n[two]\nsecret = "2"\n')
    path, first, second = f"relay/x?output={output}", by_protocol("1"), by_protocol("2")
    with live(weights, api_keys_file=file) as running:
        with opened(running, path, subprotocols=first) as connection:
            next_of(connection, "ready")
            heard = talk(running, path, subprotocols=first)
            assert (heard.problem, heard.code) == ("quota_exceeded", 4429)
            assert talk(running, path, subprotocols=second).code == 1000
        wait_for(lambda: talk(running, path, subprotocols=first).code == 1000)


@pytest.mark.parametrize(
    ("origin", "allowed"),
    [
        ("http://{host}", True),
        ("https://{host}", True),
        ("https://friend.example", True),
        ("https://other.example", False),
        ("null", False),
        ("http://{host}.other.example", False),
    ],
)
def test_pages_of_other_origins_are_refused(strict: Live, origin: str, allowed: bool) -> None:
    origin = origin.format(host=f"{strict.host}:{strict.port}")
    if allowed:
        assert talk(strict, "decompress", origin=origin).code == 4401
        return
    with pytest.raises(InvalidStatus) as refused:
        opened(strict, "decompress", origin=origin)
    assert refused.value.response.status_code == 403
    assert b"foreign_origin" in refused.value.response.body


def test_an_impossible_host_is_refused(server: Live) -> None:
    head = (
        "GET /live/compress HTTP/1.1\r\nHost: a b\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
        "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: AAAAAAAAAAAAAAAAAAAAAA==\r\n\r\n"
    )
    with server.connect(head) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 400 ")


def test_paths_without_a_stream_refuse_the_handshake(server: Live) -> None:
    with pytest.raises(InvalidStatus) as refused:
        opened(server, "nothing")
    assert refused.value.response.status_code == 404
    assert refused.value.response.headers["Content-Type"] == "application/problem+json"
    assert b'"not_found"' in refused.value.response.body
    assert refused.value.response.headers["X-Request-ID"]


def test_a_live_path_is_no_http_call(server: Live) -> None:
    for path in ("compress", "decompress", "relay/x"):
        answer = httpx.get(f"{server.url}/live/{path}")
        assert (answer.status_code, answer.headers["Upgrade"]) == (426, "websocket")
        assert answer.json()["code"] == "upgrade_required"
    upgrade = {"Connection": "Upgrade", "Upgrade": "websocket"}
    assert httpx.post(f"{server.url}/live/compress", headers=upgrade).status_code == 426


def test_a_message_that_is_too_large_ends_the_connection(server: Live) -> None:
    heard = talk(server, "compress", [bytes((1 << 20) + 1)])
    assert heard.code == 1009
    server.wait_until_idle()


LONG = f'{{"type":"ping","id":"{"x" * 5000}"}}'


@pytest.mark.parametrize("text", ["hello", "[]", '{"type":1}', '{"type":"shout"}', LONG])
def test_text_that_is_no_message_is_a_typed_error(server: Live, text: str) -> None:
    heard = talk(server, "compress", [text])
    assert (heard.problem, heard.code) == ("bad_request", 4400)
    assert ("at most 4096" in heard.of("error")["problem"]["detail"]) == (text == LONG)


@pytest.mark.parametrize(
    ("sent", "told"), [('"a"', "a"), ("1.5", 1.5), ("NaN", None), ("1e999", None), ("true", None)]
)
def test_a_pong_is_json_whatever_the_ping_says(server: Live, sent: str, told: object) -> None:
    heard = talk(server, "relay/marks", [f'{{"type":"ping","id":{sent}}}'])
    assert heard.of("pong")["id"] == told


def test_a_wrong_frame_in_mid_stream_is_the_client_s_fault(server: Live) -> None:
    with capture_logs() as logged, opened(server, "compress?input=f32") as connection:
        next_of(connection, "ready")
        connection.send(noise(24_000 * 4).tobytes())
        connection.socket.sendall(b"\xf2\x80\0\0\0\0")  # with a reserved bit
        heard = hear(connection)
        server.wait_until_idle()
    assert heard.code == 1002
    assert [line["event"] for line in logged] == ["live stream"]


def test_more_streams_than_places_are_refused(strict: Live) -> None:
    protocols = by_protocol(KEY)
    with (
        opened(strict, "compress", subprotocols=protocols) as one,
        opened(strict, "decompress", subprotocols=protocols) as two,
    ):
        next_of(one, "ready")
        next_of(two, "ready")
        heard = talk(strict, "compress", subprotocols=protocols)
        assert (heard.problem, heard.code) == ("busy", 4429)
    strict.wait_until_idle()
    assert talk(strict, "decompress", subprotocols=protocols).problem == "truncated_ecdc"


def test_a_silent_client_is_cut_off(strict: Live) -> None:
    with opened(strict, "compress", subprotocols=by_protocol(KEY)) as connection:
        heard = hear(connection)
    assert (heard.problem, heard.code) == ("client_too_slow", 4408)
    strict.wait_until_idle()


def test_audio_that_is_too_long_is_a_typed_error(strict: Live) -> None:
    sent = pieces(noise(60_000).tobytes(), 5000)
    heard = talk(strict, "compress?input=f32", sent, subprotocols=by_protocol(KEY))
    assert (heard.problem, heard.code) == ("too_long", 4413)


def test_a_client_that_reads_nothing_is_cut_off(weights: Path) -> None:
    with live(weights, write_timeout=1) as server:
        file = at_once(codec_of(server), noise(24_000 * 60), 75)
        with opened(server, "decompress", max_queue=1) as connection:
            connection.send(file)  # its audio is larger than all that the systems hold
            wait_for(lambda: 'code="4408",kind="decompress"' in metrics_of(server))
            assert server.open == 0
            vanish(connection)


def test_clients_that_vanish_leave_nothing(weights: Path) -> None:
    audio = noise(9000).tobytes()
    recording = encode(tone(1.0, 48_000), 48_000, "webm", "libopus")
    with live(weights, max_live=64) as server:
        file = at_once(codec_of(server), noise(50_000))
        kinds = [  # none of them comes to its end
            ("compress?input=f32", audio),
            ("compress?input=container", recording[:1000]),
            ("decompress", file[:1000]),
            ("relay/room-%d?role=speak", audio),
        ]
        for _ in range(2):
            with contextlib.ExitStack() as stack:
                connections = [
                    stack.enter_context(opened(server, kinds[n % 4][0].replace("%d", str(n))))
                    for n in range(64)
                ]
                for n, connection in enumerate(connections):
                    next_of(connection, "ready")
                    connection.send(kinds[n % 4][1])
                assert server.app.state.admission.live == 64
                for connection in connections:
                    vanish(connection)
            wait_for(lambda: server.app.state.admission.live == 0)
            wait_for(lambda: not server.app.state.relays)
            server.wait_until_idle()
        # There is room for all of them again.
        assert talk(server, "compress?input=f32", [audio]).code == 1000


def test_a_service_that_stops_ends_the_streams_well(weights: Path) -> None:
    audio = noise(10_000)
    heard = []
    with live(weights) as server:
        codec = codec_of(server)
        begun = threading.Event()

        def listen() -> None:
            with opened(server, "compress?input=f32") as connection:
                next_of(connection, "ready")
                connection.send(audio.tobytes())
                begun.set()
                heard.append(hear(connection))

        thread = threading.Thread(target=listen)
        thread.start()
        assert begun.wait(20)
    thread.join(20)
    assert heard[0].data == at_once(codec, audio)
    assert heard[0].code == 1012
    assert heard[0].of("end")["complete"]


def metrics_of(server: Live) -> str:
    """What a scraper sees."""
    return httpx.get(f"{server.url}/metrics", verify=NO_TLS).text


def test_a_stream_is_counted_and_its_steps_are_timed(server: Live) -> None:
    talk(server, "compress?input=f32", [noise(4000).tobytes()])
    text = metrics_of(server)
    assert 'encodec_live_streams_ended_total{code="1000",kind="compress"}' in text
    assert 'encodec_live_step_seconds_count{kind="compress"}' in text
    assert 'encodec_live_streams{kind="compress"} 0.0' in text


def test_an_end_without_a_sample_is_no_hang(server: Live) -> None:
    with opened(server, "relay/quiet") as connection:
        assert next_of(connection, "ready")["waiting"]
        connection.send(END)
        heard = hear(connection)
    assert heard.code == 1000
    assert not heard.of("end")["complete"]
