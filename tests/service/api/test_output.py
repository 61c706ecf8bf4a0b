"""`output=`, `sample_rate=` and `channels=` of `/decompress` and `/roundtrip`."""

import io

import httpx
import numpy as np
import pytest

from model_core.audio import FORMATS
from model_core.audio.files import read_whole
from model_core.config import CONFIGS
from tests.service.calls import MODELS, compressed, refused, samples_of
from tests.service.live import Live
from tests.service.sounds import wav

Query = dict[str, str | int]
CALLS = ["/decompress", "/roundtrip"]


def answered(client: httpx.Client, file: bytes, **query: str | int) -> httpx.Response:
    answer = client.post("/decompress", content=file, params=query)
    assert answer.status_code == 200, answer.text
    return answer


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("seconds", [0.01, 1.0, 2.3456])
def test_every_format_has_the_samples_of_the_wav(
    client: httpx.Client, model: str, seconds: float
) -> None:
    file = compressed(client, wav(seconds), model=model)
    plain = answered(client, file)
    want = samples_of(plain.content)
    for name, format in FORMATS.items():
        answer = answered(client, file, output=name)
        assert answer.headers["content-type"].startswith(format.media_type)
        assert f'filename="audio{format.suffix}"' in answer.headers["content-disposition"]
        assert answer.headers["x-audio-duration"] == plain.headers["x-audio-duration"]
        known = name in ("wav", "f32", "s16")
        assert ("content-length" in answer.headers) == known
        assert answer.content == answered(client, file, output=name).content
        if name == "wav":
            assert answer.content == plain.content
        elif name == "s16":
            assert answer.content == want.tobytes()
        elif name == "f32":
            floats = np.frombuffer(answer.content, "<f4").reshape(want.shape)
            assert np.array_equal(np.rint(floats.clip(-0.99, 0.99) * np.float32(32767)), want)
        elif name == "flac":
            samples, rate = read_whole(io.BytesIO(answer.content))
            assert np.array_equal(np.rint(samples.T * 2**15), want)
        elif seconds > 1:
            samples, rate = read_whole(io.BytesIO(answer.content))
            again = len(want) * rate // CONFIGS[model].sample_rate
            assert samples.shape == (want.shape[1], again)


def test_bare_samples_say_what_they_are(client: httpx.Client) -> None:
    file = compressed(client, wav(0.3), model="encodec_48khz")
    kind = answered(client, file, output="f32", sample_rate=44_100).headers["content-type"]
    assert kind == "audio/x-raw;format=F32LE;rate=44100;channels=2;layout=interleaved"


@pytest.mark.parametrize("call", CALLS)
@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("audio/flac", "audio/flac"),
        ("audio/x-flac", "audio/flac"),
        ("audio/ogg;codecs=opus", "audio/ogg"),
        ("audio/mpeg, audio/flac;q=0.5", "audio/mpeg"),
        ("audio/flac, */*;q=0.1", "audio/flac"),
        ("audio/wav;q=0.5, audio/*;q=0.1", "audio/wav"),
        ("audio/flac, audio/wav", "audio/wav"),
        ("*/*", "audio/wav"),
    ],
)
def test_accept_chooses_the_format(client: httpx.Client, call: str, accept: str, kind: str) -> None:
    content = compressed(client, wav(0.2)) if call == "/decompress" else wav(0.2)
    answer = client.post(call, content=content, headers={"accept": accept})
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == kind
    assert answer.headers["vary"] == "Accept"


def test_lines_of_accept_are_one_list(client: httpx.Client) -> None:
    body = compressed(client, wav(0.2))
    request = client.build_request("POST", "/decompress", content=body)
    del request.headers["accept"]
    lines = [(b"accept", b"text/html"), (b"accept", b"audio/flac")]
    request.headers = httpx.Headers([*request.headers.raw, *lines])
    assert client.send(request).headers["content-type"] == "audio/flac"


@pytest.mark.parametrize("accept", ["audio/wav", "text/html"])
def test_output_goes_before_accept(client: httpx.Client, accept: str) -> None:
    file = compressed(client, wav(0.2))
    query = {"output": "flac"}
    answer = client.post("/decompress", content=file, params=query, headers={"accept": accept})
    assert (answer.status_code, answer.headers["content-type"]) == (200, "audio/flac")


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("rate", [8_000, 44_100, 44_101])
@pytest.mark.parametrize("channels", [1, 2])
def test_another_rate_and_other_channels(
    client: httpx.Client, model: str, rate: int, channels: int
) -> None:
    file = compressed(client, wav(2.3), model=model)
    query: Query = {"sample_rate": rate, "channels": channels}
    answer = answered(client, file, **query)
    samples = samples_of(answer.content)
    assert samples.shape == (-(-23 * rate // 10), channels)
    assert samples.any()
    if channels == 2 and model == "encodec_24khz":
        assert np.array_equal(samples[:, 0], samples[:, 1])
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["x-audio-duration"] == "2.300000"
    flac, hertz = read_whole(io.BytesIO(answered(client, file, output="flac", **query).content))
    assert hertz == rate
    assert np.array_equal(np.rint(flac.T * 2**15), samples)
    both = client.post("/roundtrip", content=wav(2.3), params={"model": model, **query})
    assert both.content == answer.content


def test_a_part_at_another_rate(client: httpx.Client) -> None:
    file = compressed(client, wav(2.3), format=1)
    query: Query = {"start": "0.5", "end": "1.5", "sample_rate": 48_000, "output": "flac"}
    answer = answered(client, file, **query)
    assert answer.headers["x-audio-duration"] == "1.000000"
    assert read_whole(io.BytesIO(answer.content))[0].shape == (1, 48_000)


@pytest.mark.parametrize("model", MODELS)
def test_the_originals_rate_and_channels_come_back(client: httpx.Client, model: str) -> None:
    audio = wav(57_331 / 44_100, rate=44_100, channels=2)
    query: Query = {"sample_rate": "original", "channels": "original"}
    file = compressed(client, audio, model=model, format=1)
    seen = client.post("/inspect", content=file).json()["original"]
    assert (seen["sample_rate"], seen["channels"]) == (44_100, 2)
    samples = samples_of(answered(client, file, **query).content)
    assert samples.shape == (57_331, 2)
    part = answered(client, file, end="1", **query)
    assert np.array_equal(samples_of(part.content)[:44_000], samples[:44_000])
    both = client.post("/roundtrip", content=audio, params={"model": model, "format": 1, **query})
    assert np.array_equal(samples_of(both.content), samples)
    old = compressed(client, audio, model=model)
    for name in query:
        answer = client.post("/decompress", content=old, params={name: "original"})
        problem = refused(answer, 422, "bad_parameter")
        assert problem["errors"][0]["name"] == name
        assert "does not say" in problem["detail"]


@pytest.mark.parametrize("call", [*CALLS, "/decompress/upload"])
@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("output", "aac"),
        ("output", ""),
        ("sample_rate", "3999"),
        ("sample_rate", "768001"),
        ("sample_rate", "44100.5"),
        ("sample_rate", "any"),
        ("channels", "0"),
        ("channels", "3"),
    ],
)
def test_what_there_is_not_is_refused(
    client: httpx.Client, call: str, name: str, value: str
) -> None:
    answer = client.post(call, files={"file": b"no matter"}, params={name: value})
    problem = refused(answer, 422, "bad_parameter")
    assert {error["name"] for error in problem["errors"]} == {name}


def test_head_is_no_method_of_theirs(client: httpx.Client) -> None:
    for call in CALLS:
        answer = client.head(call, params={"output": "flac"})
        assert (answer.status_code, answer.headers["allow"]) == (405, "POST")


def test_rescale_finds_the_peak_of_what_is_sent(client: httpx.Client) -> None:
    file = compressed(client, wav(1.3), model="encodec_48khz")
    query: Query = {"rescale": "true", "sample_rate": 44_100}
    want = samples_of(answered(client, file, **query).content)
    flac, _ = read_whole(io.BytesIO(answered(client, file, output="flac", **query).content))
    assert np.array_equal(np.rint(flac.T * 2**15), want)


def test_a_wrong_accept_is_refused_before_the_body(server: Live) -> None:
    head = "POST /decompress HTTP/1.1\r\nHost: x\r\nAccept: text/html\r\nContent-Length: 9\r\n\r\n"
    with server.connect(head) as connection:
        assert connection.recv(100).startswith(b"HTTP/1.1 406 ")
    server.wait_until_idle()
