"""Bodies that are too large, too long, too slow or too many."""

from collections.abc import Iterator
from pathlib import Path

import httpx
import pytest

from tests.service.calls import compressed, ecdc, refused
from tests.service.live import Live, live
from tests.service.sounds import wav

MAX_BYTES = 200_000
CALLS = ["/compress", "/roundtrip", "/codes", "/decompress", "/inspect"]


@pytest.fixture(scope="module")
def small(weights: Path) -> Iterator[Live]:
    """A service that admits little."""
    with live(
        weights,
        models="encodec_24khz",
        max_upload_bytes=MAX_BYTES,
        max_audio_seconds=3,
        max_requests=1,
        max_waiting=0,
    ) as running:
        yield running


@pytest.fixture(scope="module")
def impatient(weights: Path) -> Iterator[Live]:
    """A service that does not wait for slow clients."""
    with live(weights, models="encodec_24khz", read_timeout=0.2) as running:
        yield running


@pytest.fixture
def client(small: Live) -> Iterator[httpx.Client]:
    """One request at a time: a permit is given back just after the last byte was sent."""
    with small.client() as connected:
        connected.event_hooks["request"] = [lambda _: small.wait_until_idle()]
        yield connected
        small.wait_until_idle()


def _pieces(size: int) -> Iterator[bytes]:
    """A WAV longer than it says."""
    yield wav(0.1)[:44]
    for _ in range(size // 10_000):
        yield bytes(10_000)


@pytest.mark.parametrize("call", CALLS)
def test_a_file_that_is_too_large_is_a_413(client: httpx.Client, call: str) -> None:
    # A bad header would be refused first.
    if call in ("/decompress", "/inspect"):
        body = compressed(client, wav(0.1)) + bytes(MAX_BYTES)
    else:
        body = wav(0.1) + bytes(MAX_BYTES)
    refused(client.post(call, content=body), 413, "too_large")
    refused(client.post(call, files={"file": body}), 413, "too_large")
    if call != "/inspect" and call != "/decompress":
        refused(client.post(call, content=_pieces(MAX_BYTES * 2)), 413, "too_large")
    else:
        pieces = [body[start : start + 50_000] for start in range(0, len(body), 50_000)]
        refused(client.post(call, content=iter(pieces)), 413, "too_large")


def test_an_announced_length_is_refused_before_the_body_is_sent(small: Live) -> None:
    head = f"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Length: {10**12}\r\n\r\n"
    with small.connect(head) as connection:
        assert connection.recv(1000).startswith(b"HTTP/1.1 413 ")
    small.wait_until_idle()


def test_a_file_of_exactly_the_limit_is_taken(client: httpx.Client) -> None:
    audio = wav(1)
    body = audio + bytes(MAX_BYTES - len(audio))  # what follows the samples is not audio
    for answer in (
        client.post("/compress", content=body),
        client.post("/compress", files={"file": body}),
    ):
        assert answer.status_code == 200, answer.text
        assert answer.headers["x-audio-duration"] == "1.000000"


@pytest.mark.parametrize("call", ["/compress", "/roundtrip", "/codes"])
def test_audio_that_is_too_long_is_a_413(client: httpx.Client, call: str) -> None:
    assert client.post(call, content=wav(3)).status_code == 200
    problem = refused(client.post(call, content=wav(3.1)), 413, "too_long")
    assert "3" in problem["detail"]


def test_a_header_of_audio_that_is_too_long_is_a_413(client: httpx.Client) -> None:
    name = compressed(client, wav(0.1)).partition(b'"m": "')[2].partition(b'"')[0].decode()
    meta = {"m": name, "al": 3 * 24_000, "nc": 2, "lm": False}
    frames = 3 * 75 + 1
    good = client.post("/decompress", content=ecdc(meta, bytes(frames * 3)))
    assert good.status_code == 200, good.text
    answer = client.post("/decompress", content=ecdc(meta | {"al": 3 * 24_000 + 1}, bytes(1000)))
    refused(answer, 413, "too_long")


@pytest.mark.parametrize("kind", ["audio/wav", "multipart/form-data; boundary=x"])
def test_a_body_that_stops_arriving_is_a_408(impatient: Live, kind: str) -> None:
    head = f"POST /compress HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\nContent-Length: 9999\r\n"
    with impatient.connect(f"{head}\r\n--x\r\n") as connection:
        answer = b""
        while not answer.endswith(b"}") and (more := connection.recv(10_000)):
            answer += more
    assert answer.startswith(b"HTTP/1.1 408 ")
    assert b"client_too_slow" in answer
    impatient.wait_until_idle()


def test_a_request_beyond_the_permits_is_a_429(small: Live) -> None:
    with small.permit_held(), small.client() as client:
        answer = client.post("/compress", content=wav(0.1))
        assert int(answer.headers["retry-after"]) > 0
        refused(answer, 429, "busy")
    small.wait_until_idle()
