"""Requests that end early: clients that leave, answers that fail; everything is freed."""

import os
import socket
import struct
from collections.abc import Iterator

import httpx
import pytest

from tests.service.calls import compressed, long_file
from tests.service.decoder.processes import children, decoding
from tests.service.live import Live, wait_for
from tests.service.sounds import wav


def decoders() -> list[int]:
    """Processes that decode an upload: children of this process's children."""
    return [pid for child in children(os.getpid()) for pid in decoding(child)]


def connect(server: Live, call: str, length: int, kind: str = "audio/wav") -> socket.socket:
    """A connection on which the head of a request was sent."""
    head = f"POST {call} HTTP/1.1\r\nHost: x\r\nContent-Type: {kind}\r\n"
    return server.connect(f"{head}Content-Length: {length}\r\n\r\n")


def counted(server: Live, status: str) -> float:
    """Requests that ended with this status."""
    return sum(
        sample.value
        for metric in server.app.state.metrics.registry.collect()
        for sample in metric.samples
        if sample.name == "encodec_requests_total" and sample.labels["status"] == status
    )


@pytest.fixture
def one_client_left(server: Live) -> Iterator[None]:
    """One client leaves before its answer begins."""
    before = counted(server, "499")
    yield
    wait_for(lambda: counted(server, "499") == before + 1)


@pytest.fixture(autouse=True)
def everything_is_freed(server: Live) -> Iterator[None]:
    server.wait_until_idle()
    before = counted(server, "500")  # other tests may have had some
    yield
    server.wait_until_idle()
    wait_for(lambda: not decoders())
    assert counted(server, "500") == before
    with server.client() as client:
        assert client.post("/compress", content=wav(0.5)).status_code == 200


@pytest.mark.usefixtures("one_client_left")
@pytest.mark.parametrize("call", ["/compress", "/roundtrip", "/codes"])
def test_a_client_leaves_in_the_middle_of_its_upload(server: Live, call: str) -> None:
    audio = wav(4)
    with connect(server, call, len(audio)) as connection:
        connection.sendall(audio[: len(audio) // 2])
        wait_for(lambda: server.open == 1 and len(decoders()) == 1)


@pytest.mark.usefixtures("one_client_left")
@pytest.mark.parametrize("kind", ["application/octet-stream", "multipart/form-data; boundary=x"])
@pytest.mark.parametrize("call", ["/compress", "/decompress", "/inspect"])
def test_a_client_leaves_at_the_start_of_its_upload(server: Live, call: str, kind: str) -> None:
    with connect(server, call, 1000, kind) as connection:
        connection.sendall(b"--x\r\n")
        wait_for(lambda: server.open == 1)


@pytest.mark.usefixtures("one_client_left")
def test_a_client_leaves_while_its_audio_is_encoded(server: Live) -> None:
    audio = wav(30)
    with connect(server, "/compress?bandwidth=24&lm=true", len(audio)) as connection:
        connection.sendall(audio)
        wait_for(lambda: server.open == 1 and len(decoders()) == 1)


@pytest.mark.parametrize(
    "call",
    [
        "/decompress",
        "/decompress?rescale=true",
        "/decompress?output=flac&sample_rate=44101&channels=2",
        "/decompress?output=mp3",
    ],
)
def test_a_client_leaves_in_the_middle_of_the_answer(server: Live, call: str) -> None:
    file = long_file(server, 200)
    with connect(server, call, len(file), "application/octet-stream") as connection:
        connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        connection.sendall(file)
        if "rescale" not in call:
            assert connection.recv(100).startswith(b"HTTP/1.1 200 ")
        wait_for(lambda: server.open == 1)


def test_a_wav_beyond_4_gib_has_a_length_and_an_rf64_header(server: Live) -> None:
    """Ten hours of stereo at 48 kHz; the client reads the beginning alone."""
    file = long_file(server, 36_000, model="encodec_48khz", bandwidth=3)
    with (
        server.client() as client,
        client.stream("POST", "/decompress", content=file) as answer,
    ):
        assert answer.status_code == 200
        size = int(answer.headers["content-length"])
        assert size == 80 + 36_000 * 48_000 * 4 > 2**32
        head = next(answer.iter_raw(80))
    assert head[:4] == b"RF64"
    assert struct.unpack_from("<QQQ", head, 20) == (size - 8, size - 80, 36_000 * 48_000)


@pytest.mark.parametrize("output", ["wav", "flac", "mp3", "f32"])
def test_a_failure_after_the_answer_began_cuts_it_short(server: Live, output: str) -> None:
    call = f"/decompress?output={output}"
    with server.client() as client:
        file = bytearray(compressed(client, wav(12), model="encodec_48khz"))
        whole = client.post(call, content=bytes(file))
        assert whole.status_code == 200
        header = len(file) - int(
            client.post("/inspect", content=bytes(file)).json()["payload_bytes"]
        )
        segment = 4 + 150 * 4 * 10 // 8  # scale and codes, at 6 kbps
        struct.pack_into("!f", file, header + 8 * segment, float("nan"))
        with client.stream("POST", call, content=bytes(file)) as answer:
            assert answer.status_code == 200
            pieces: list[bytes] = []
            with pytest.raises(httpx.RemoteProtocolError):
                pieces.extend(answer.iter_raw())
        got = b"".join(pieces)
        assert 0 < len(got) < len(whole.content)
        assert whole.content.startswith(got)
        refused = client.post("/decompress?rescale=true", content=bytes(file))
        assert refused.status_code == 400  # two passes: found before the answer begins
