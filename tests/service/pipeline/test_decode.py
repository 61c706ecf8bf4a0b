"""Uploads of `.ecdc`: what is refused, and at what moment; loud audio with `rescale`."""

import http.client
import io
import json
import struct
from collections.abc import AsyncIterator

import httpx
import numpy as np
import pytest

from model_core.ecdc import read_header
from service.pipeline.decode import fill
from tests.service.calls import compressed, ecdc, meta, refused, samples_of
from tests.service.live import Live
from tests.service.sounds import wav

ECDC_CALLS = ["/decompress", "/inspect"]
NOISE = np.random.default_rng(0).bytes(20_000)


@pytest.fixture(scope="module")
def file(server: Live) -> bytes:
    """A good `.ecdc` file."""
    with server.client() as client:
        return compressed(client, wav(1.3))


@pytest.mark.parametrize("call", ECDC_CALLS)
def test_a_broken_header_is_refused(client: httpx.Client, call: str, file: bytes) -> None:
    good = meta(file)
    broken = [
        NOISE,
        b"RIFF",
        ecdc(good, version=7),
        ecdc(good, size=2**32 - 1),
        ecdc(good, size=5),
        ecdc([1]),
        ecdc({}),
        ecdc(meta(file, nc=0)),
        ecdc(meta(file, nc=99)),
        ecdc(meta(file, nc=3)),
        ecdc(meta(file, nc="8")),
        ecdc(meta(file, al=0)),
        ecdc(meta(file, al=-5)),
        ecdc(meta(file, al=1.5)),
        ecdc(meta(file, al=10**30)),
        ecdc(meta(file, lm=1)),
        ecdc(meta(file, m="no such model")),
        ecdc(meta(file, m="encodec_16khz:12345678")),
    ]
    for body in broken:
        refused(client.post(call, content=body), 400, "broken_ecdc")
    for body in (file[:3], file[:9], file[:30]):
        refused(client.post(call, content=body), 400, "truncated_ecdc")


def test_a_wrong_header_is_refused_before_the_rest_is_received(server: Live) -> None:
    head = f"POST /decompress HTTP/1.1\r\nHost: x\r\nContent-Length: {5 * 10**9}\r\n\r\n"
    with server.connect(head.encode() + wav(3)) as connection:
        answer = http.client.HTTPResponse(connection)
        answer.begin()
        assert answer.status == 400
        assert json.loads(answer.read())["code"] == "broken_ecdc"


def test_a_payload_shorter_than_the_header_implies_is_refused(
    client: httpx.Client, file: bytes
) -> None:
    start = len(read_header(io.BytesIO(file)).to_bytes())
    for end in (start, start + 1, len(file) - 1):
        refused(client.post("/decompress", content=file[:end]), 400, "truncated_ecdc")
    huge = ecdc(meta(file, al=36_000 * 24_000), file[start:])
    refused(client.post("/decompress", content=huge), 400, "truncated_ecdc")
    refused(client.post("/decompress?rescale=true", content=huge), 400, "truncated_ecdc")
    beyond = ecdc(meta(file, al=10**15), file[start:])
    refused(client.post("/decompress", content=beyond), 413, "too_long")


def test_a_truncated_payload_of_a_language_model_is_refused(client: httpx.Client) -> None:
    good = compressed(client, wav(0.8), lm=True)
    answer = client.post("/decompress", content=good[: len(good) // 2])
    refused(answer, 400, "truncated_ecdc")


def test_a_scale_that_no_encoder_writes_is_refused(client: httpx.Client) -> None:
    good = compressed(client, wav(1), model="encodec_48khz")
    start = len(read_header(io.BytesIO(good)).to_bytes())
    for scale in (float("nan"), float("inf"), -1.0):
        body = good[:start] + struct.pack("!f", scale) + good[start + 4 :]
        refused(client.post("/decompress", content=body), 400, "broken_ecdc")


def test_rescale_scales_loud_audio_down_instead_of_clipping_it(client: httpx.Client) -> None:
    file = bytearray(compressed(client, wav(2.2), model="encodec_48khz"))
    start = len(read_header(io.BytesIO(bytes(file))).to_bytes())
    (scale,) = struct.unpack_from("!f", file, start)
    quiet = samples_of(client.post("/decompress?rescale=true", content=bytes(file)).content)
    struct.pack_into("!f", file, start, scale * 1000)  # the first segment, far beyond full scale
    clipped = samples_of(client.post("/decompress", content=bytes(file)).content)
    scaled = samples_of(client.post("/decompress?rescale=true", content=bytes(file)).content)
    limit = round(0.99 * 32767)
    assert (np.abs(clipped) == limit).mean() > 0.1
    assert abs(int(np.abs(scaled).max()) - limit) <= 1
    assert (np.abs(scaled) == limit).mean() < 0.01
    assert quiet.shape == scaled.shape


async def chunks(*pieces: bytes) -> AsyncIterator[bytes]:
    for piece in pieces:
        yield piece


@pytest.mark.anyio
async def test_fill_appends_all_and_rewinds() -> None:
    file = io.BytesIO()
    file.write(b"ab")
    assert await fill(file, chunks(b"cd", b"efg"), None) == 7
    assert file.read() == b"abcdefg"


@pytest.mark.anyio
@pytest.mark.parametrize(("most", "kept"), [(0, b"ab"), (2, b"ab"), (5, b"abcde"), (9, b"abcdefg")])
async def test_fill_keeps_at_most_so_many_bytes_and_counts_all(most: int, kept: bytes) -> None:
    file = io.BytesIO()
    file.write(b"ab")
    assert await fill(file, chunks(b"cd", b"efg"), most) == 7
    assert file.read() == kept
