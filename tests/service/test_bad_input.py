"""What cannot be done is a problem document that says why."""

import io
import json
import struct
from typing import Any

import httpx
import numpy as np
import pytest

from model_core.ecdc import read_header
from tests.service.calls import MODELS, compressed
from tests.service.sounds import encoded, float_wav, wav

AUDIO_CALLS = ["/compress", "/roundtrip", "/codes"]
ECDC_CALLS = ["/decompress", "/inspect"]
NOISE = np.random.default_rng(0).bytes(20_000)


def refused(answer: httpx.Response, status: int, code: str) -> dict[str, Any]:
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.headers["x-request-id"]
    problem: dict[str, Any] = answer.json()
    assert problem["status"] == status
    assert problem["code"] == code
    assert problem["type"].endswith(code)
    assert problem["title"]
    assert problem["detail"]
    return problem


def ecdc(meta: object, payload: bytes = b"", version: int = 0, size: int | None = None) -> bytes:
    data = json.dumps(meta).encode()
    length = len(data) if size is None else size
    return struct.pack("!4sBI", b"ECDC", version, length) + data + payload


@pytest.fixture(scope="module")
def file(server: Any) -> bytes:
    """A good `.ecdc` file."""
    with server.client() as client:
        return compressed(client, wav(1.3))


def meta(file: bytes, **changes: object) -> dict[str, object]:
    header = read_header(io.BytesIO(file))
    found = {"m": header.model, "al": header.audio_length, "nc": header.num_codebooks, "lm": False}
    return found | changes


@pytest.mark.parametrize("call", AUDIO_CALLS + ECDC_CALLS)
def test_empty_body(client: httpx.Client, call: str) -> None:
    refused(client.post(call), 400, "empty_body")
    refused(client.post(call, files={"file": b""}), 400, "empty_body")


@pytest.mark.parametrize("call", AUDIO_CALLS)
@pytest.mark.parametrize(
    ("body", "word"),
    [
        (NOISE, ""),
        (b"hello", ""),
        (wav()[:30], ""),
        (wav()[:-1000], "truncated"),
        (encoded("flac")[:-2000], ""),
        (wav(0), "samples"),
        (float_wav(np.full(24_000, np.nan)), "NaN"),
        (float_wav(np.r_[np.zeros(30_000), np.inf]), "infinite"),
    ],
)
def test_undecodable_audio(client: httpx.Client, call: str, body: bytes, word: str) -> None:
    for model in MODELS:
        answer = client.post(call, content=body, params={"model": model})
        assert word in refused(answer, 400, "undecodable_audio")["detail"]


@pytest.mark.parametrize("call", ECDC_CALLS)
def test_broken_header(client: httpx.Client, call: str, file: bytes) -> None:
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


def test_truncated_payload(client: httpx.Client, file: bytes) -> None:
    start = len(read_header(io.BytesIO(file)).to_bytes())
    for end in (start, start + 1, len(file) - 1):
        refused(client.post("/decompress", content=file[:end]), 400, "truncated_ecdc")
    huge = ecdc(meta(file, al=36_000 * 24_000), file[start:])
    refused(client.post("/decompress", content=huge), 400, "truncated_ecdc")
    refused(client.post("/decompress?rescale=true", content=huge), 400, "truncated_ecdc")
    beyond = ecdc(meta(file, al=10**15), file[start:])
    refused(client.post("/decompress", content=beyond), 413, "too_long")


def test_broken_scale(client: httpx.Client) -> None:
    good = compressed(client, wav(1), model="encodec_48khz")
    start = len(read_header(io.BytesIO(good)).to_bytes())
    for scale in (float("nan"), float("inf"), -1.0):
        body = good[:start] + struct.pack("!f", scale) + good[start + 4 :]
        refused(client.post("/decompress", content=body), 400, "broken_ecdc")


def test_truncated_language_model_payload(client: httpx.Client) -> None:
    good = compressed(client, wav(0.8), lm=True)
    answer = client.post("/decompress", content=good[: len(good) // 2])
    refused(answer, 400, "truncated_ecdc")


@pytest.mark.parametrize("call", AUDIO_CALLS)
def test_bad_parameters(client: httpx.Client, call: str) -> None:
    audio = wav(0.2)

    def post(**params: str | float) -> httpx.Response:
        return client.post(call, content=audio, params=params)

    problem = refused(post(model="encodec_96khz"), 422, "unknown_model")
    assert "encodec_24khz, encodec_48khz" in problem["detail"]
    problem = refused(post(model="encodec_48khz", bandwidth=1.5), 422, "unsupported_bandwidth")
    assert "3, 6, 12, 24" in problem["detail"]
    problem = refused(post(bandwidth=7), 422, "unsupported_bandwidth")
    assert "1.5, 3, 6, 12, 24" in problem["detail"]
    for value in ("fast", "", "nan", "inf", "-1", "1e999"):
        assert post(bandwidth=value).status_code == 422
    for value in ("nan", "inf"):
        assert "finite number" in refused(post(bandwidth=value), 422, "bad_parameter")["detail"]
    problem = refused(post(bandwidth="fast"), 422, "bad_parameter")
    assert problem["errors"][0]["name"] == "bandwidth"


@pytest.mark.parametrize("call", [*AUDIO_CALLS, "/compress/upload", "/decompress", "/inspect"])
def test_misspelt_parameters_are_not_overlooked(client: httpx.Client, call: str) -> None:
    params: dict[str, str | int] = {"bandwith": 3, "Model": "x"}
    answer = client.post(call, files={"file": wav(0.2)}, params=params)
    problem = refused(answer, 422, "bad_parameter")
    assert [error["name"] for error in problem["errors"]] == ["Model", "bandwith"]
    assert "'bandwith'" in problem["detail"]


@pytest.mark.parametrize("call", [*AUDIO_CALLS, "/compress/upload"])
def test_a_parameter_counts_once(client: httpx.Client, call: str) -> None:
    answer = client.post(f"{call}?bandwidth=6&bandwidth=12", files={"file": wav(0.2)})
    problem = refused(answer, 422, "bad_parameter")
    assert [error["name"] for error in problem["errors"]] == ["bandwidth"]


@pytest.mark.parametrize("call", ["/decompress", "/roundtrip"])
def test_formats_that_are_not_offered(client: httpx.Client, file: bytes, call: str) -> None:
    content = file if call == "/decompress" else wav(0.2)
    answer = client.post(call, content=content, headers={"accept": "audio/flac"})
    assert "audio/wav" in refused(answer, 406, "not_acceptable")["detail"]
    for accept in ("audio/*", "audio/x-wav", "application/json, */*;q=0.1", ""):
        answer = client.post(call, content=content, headers={"accept": accept})
        assert answer.headers["content-type"] == "audio/wav"


def test_no_language_model(client: httpx.Client) -> None:
    for call in ("/compress", "/roundtrip"):
        params: dict[str, str | float] = {"model": "encodec_48khz", "lm": True}
        refused(client.post(call, content=wav(0.2), params=params), 409, "lm_unavailable")
        assert client.post(call, content=wav(0.2), params={"lm": "perhaps"}).status_code == 422


@pytest.mark.parametrize(
    "kind",
    ["audio/L16", "audio/l16; channels=2", "audio/L16; rate=x", "audio/L16; rate=1",
     "audio/L16; rate=16000; channels=0", "audio/L16; rate=16000; channels=1000",
     "audio/L16; rate=16000; endianness=little", "audio/L8; rate=8000", "audio/pcm"],
)  # fmt: skip
def test_headerless_pcm_must_say_what_it_is(client: httpx.Client, kind: str) -> None:
    answer = client.post("/compress", content=bytes(3200), headers={"content-type": kind})
    refused(answer, 415, "unsupported_media_type")


def test_headerless_pcm_with_half_a_sample(client: httpx.Client) -> None:
    answer = client.post(
        "/compress", content=bytes(3201), headers={"content-type": "audio/L16; rate=16000"}
    )
    refused(answer, 400, "undecodable_audio")


def test_other_bodies_are_refused(client: httpx.Client) -> None:
    audio = wav(0.2)
    for headers in ({"content-type": "multipart/mixed; boundary=x"}, {"content-encoding": "gzip"}):
        answer = client.post("/compress", content=audio, headers=headers)
        refused(answer, 415, "unsupported_media_type")
    for call in ("/compress", "/decompress", "/roundtrip"):
        refused(client.post(f"{call}/upload", content=audio), 415, "unsupported_media_type")


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"nothing of the kind",
        b"--x--\r\n",
        b"--y\r\n\r\n--y--\r\n",
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc',
        b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\nabc\r\n--x',
        b'--x\r\nContent-Disposition: form-data; name="other"\r\n\r\nabc\r\n--x--\r\n',
        b"--x\r\n\r\nabc\r\n--x--\r\n",
        b"--x\r\nno header\r\n\r\nabc\r\n--x--\r\n",
        b"--x\r\n" + b"A: " + b"b" * 100_000 + b"\r\n\r\nabc\r\n--x--\r\n",
    ],
)
def test_malformed_multipart(client: httpx.Client, body: bytes) -> None:
    headers = {"content-type": "multipart/form-data; boundary=x"}
    for call in ("/compress", "/inspect", "/decompress/upload"):
        problem = refused(client.post(call, content=body, headers=headers), 400, "bad_request")
        assert "multipart" in problem["detail"]


def test_multipart_without_boundary_or_with_more_parts(client: httpx.Client, file: bytes) -> None:
    headers = {"content-type": "multipart/form-data"}
    answer = client.post("/compress", content=b"--x", headers=headers)
    assert "boundary" in refused(answer, 400, "bad_request")["detail"]
    twice = [("file", ("a", file)), ("file", ("b", file))]
    refused(client.post("/decompress", files=twice), 400, "bad_request")
    for parts in ([("file", wav()), ("lm", b"true")], [("lm", b"true"), ("file", wav())]):
        problem = refused(client.post("/compress", files=parts), 400, "bad_request")
        assert "parameters go into the query" in problem["detail"]
