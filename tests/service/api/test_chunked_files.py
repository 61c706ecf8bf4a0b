"""Version 1 files over HTTP: made, cut, changed, looked at."""

import io

import httpx
import numpy as np
import pytest
from structlog.testing import capture_logs

from model_core.audio import open_audio
from model_core.codec import LanguageModel
from model_core.codec.entropy import LMDecoder
from tests.media import tagged, tone
from tests.service.calls import compressed, refused
from tests.service.live import wait_for
from tests.service.sounds import wav

MODELS = ["encodec_24khz", "encodec_48khz"]


def samples(client: httpx.Client, file: bytes, **query: str) -> np.ndarray:
    """The PCM of a file that is decompressed."""
    answer = client.post("/decompress", content=file, params=query)
    assert answer.status_code == 200, answer.text
    assert int(answer.headers["content-length"]) == len(answer.content)
    return np.frombuffer(answer.content[44:], "<i2")


@pytest.mark.parametrize("model", MODELS)
def test_a_file_of_version_1_decompresses_to_what_version_0_does(
    client: httpx.Client, model: str
) -> None:
    body = wav(2.3, rate=44_100, channels=2)
    old = compressed(client, body, model=model)
    answer = client.post("/compress", content=body, params={"model": model, "format": "1"})
    new = answer.content
    assert new[:5] == b"ECDC\x01"
    assert int(answer.headers["x-compressed-bytes"]) == len(new)
    assert answer.headers["x-audio-duration"] == "2.300000"
    assert np.array_equal(samples(client, new), samples(client, old))
    roundtrip = client.post("/roundtrip", content=body, params={"model": model, "format": "1"})
    assert np.array_equal(np.frombuffer(roundtrip.content[44:], "<i2"), samples(client, old))


def test_the_language_model_codes_it_smaller_and_loses_nothing(client: httpx.Client) -> None:
    body = wav(2.0)
    plain = compressed(client, body, format="1")
    coded = compressed(client, body, format="1", lm="true")
    assert coded != plain
    assert np.array_equal(samples(client, coded), samples(client, plain))


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("version", ["0", "1"])
def test_a_part_equals_that_part_of_the_whole(
    client: httpx.Client, model: str, version: str
) -> None:
    file = compressed(client, wav(3.1), model=model, format=version)
    whole = samples(client, file)
    rate, channels = (24_000, 1) if model == MODELS[0] else (48_000, 2)
    for start, end in (("0.5", "1.25"), ("2.999", "3.05"), ("1", "100")):
        part = samples(client, file, start=start, end=end)
        begin, stop = (round(float(x) * rate) * channels for x in (start, end))
        assert np.array_equal(part, whole[begin:stop])
    answer = client.post("/decompress", content=file, params={"start": "3", "end": "3.05"})
    assert answer.headers["x-audio-duration"] == "0.050000"
    for start, end, message in (
        ("3.2", "4", "the audio is 3.1 s long"),
        ("1", "0.5", "1 is not before end, 0.5"),
        ("2", "2", "2 is not before end, 2"),
        ("nan", "2", "finite"),
    ):
        answer = client.post("/decompress", content=file, params={"start": start, "end": end})
        assert answer.status_code == 422
        assert answer.json()["errors"][0]["name"] == "start"
        assert message in answer.json()["errors"][0]["message"]


@pytest.mark.parametrize(("format", "least", "most"), [(1, 1, 35), (0, 91, 91)])
def test_a_part_costs_what_is_decoded_for_it(
    client: httpx.Client, format: int, least: float, most: float
) -> None:
    body = compressed(client, wav(100), format=format)
    with capture_logs() as logged:
        assert len(samples(client, body, start="90", end="91")) == 24_000
        wait_for(lambda: any(line.get("path") == "/decompress" for line in logged))
    (line,) = (line for line in logged if line.get("path") == "/decompress")
    assert least <= line["audio_seconds"] <= most


@pytest.mark.parametrize("model", MODELS)
def test_transcoding_gives_what_compressing_gives(client: httpx.Client, model: str) -> None:
    body = wav(1.4)
    file = compressed(client, body, model=model, bandwidth="12", format="1")
    for version, bandwidth in (("0", "3"), ("1", "6"), ("1", "12")):
        query = {"format": version, "bandwidth": bandwidth}
        answer = client.post("/transcode", content=file, params=query)
        assert answer.status_code == 200, answer.text
        assert float(answer.headers["x-encodec-bandwidth"]) == float(bandwidth)
        want = compressed(client, body, model=model, **query)
        assert answer.content == want
        back = client.post("/transcode", content=want, params={"format": "0"})
        assert back.content == compressed(client, body, model=model, bandwidth=bandwidth)
    assert client.post("/transcode", content=file).content == file
    old = compressed(client, body, model=model, bandwidth="12")
    new = client.post("/transcode", content=old, params={"format": "1"}).content
    assert new[4] == 1
    assert client.post("/transcode", content=new, params={"format": "0"}).content == old
    more = client.post("/transcode", content=file, params={"bandwidth": "24"})
    assert (more.status_code, more.json()["code"]) == (422, "unsupported_bandwidth")


def test_transcoding_adds_and_removes_the_language_model(client: httpx.Client) -> None:
    body = wav(1.4)
    plain = compressed(client, body, format="1")
    coded = client.post("/transcode", content=plain, params={"lm": "true"}).content
    assert coded == compressed(client, body, format="1", lm="true")
    assert client.post("/transcode", content=coded, params={"lm": "false"}).content == plain


def test_inspection_verifies_everything(client: httpx.Client) -> None:
    body = wav(3.5)
    upload = {"file": ("C:\\music\\a talk.flac", body)}
    file = client.post("/compress", files=upload, params={"format": "1"}).content
    seen = client.post("/inspect", content=file).json()
    assert (seen["version"], seen["intact"], seen["note"]) == (1, True, None)
    assert (seen["audio_length"], seen["chunks"], seen["codebooks"]) == (84_000, 4, 8)
    assert seen["original"]["name"] == "a talk.flac"
    assert seen["payload_bytes"] + seen["header_bytes"] == len(file)
    for place in range(0, len(file), 97):
        wrong = bytearray(file)
        wrong[place] ^= 64
        answer = client.post("/inspect", content=bytes(wrong))
        assert answer.status_code == 400 or answer.json()["intact"] is False
        assert client.post("/decompress", content=bytes(wrong)).status_code == 400
    cut = client.post("/inspect", content=file[:-40]).json()
    assert cut["intact"] is False
    assert "cut off" in cut["note"]
    answer = client.post("/decompress", content=file[:-40])
    assert (answer.status_code, answer.json()["code"]) == (400, "truncated_ecdc")


def test_other_versions_are_refused(client: httpx.Client) -> None:
    body = wav(0.2)
    assert client.post("/compress", content=body, params={"format": "2"}).status_code == 422
    file = compressed(client, body, format="1")
    for call in ("/decompress", "/inspect", "/transcode"):
        answer = client.post(call, content=b"ECDC\x02" + file[5:])
        assert (answer.status_code, answer.json()["code"]) == (400, "broken_ecdc")


def test_a_file_says_what_it_was_made_from_and_gives_it_back(client: httpx.Client) -> None:
    metadata = {"title": "A talk é", "track": "3", "location": "+52+13"}
    body = tagged("flac", "flac", tone(1.2, 44_100, 2), 44_100, metadata)
    files = {"file": ("C:\\talks\\a talk.flac", body)}
    file = client.post("/compress", files=files, params={"format": "1"}).content
    said = client.post("/inspect", content=file).json()
    assert said["original"] == {
        "sample_rate": 44_100,
        "channels": 2,
        "samples": 52_920,
        "name": "a talk.flac",
    }
    assert said["tags"] == [["TITLE", "A talk é"], ["TRACKNUMBER", "3"]]
    for name in ("flac", "opus", "mp3"):
        audio = client.post("/decompress", content=file, params={"output": name}).content
        with open_audio(io.BytesIO(audio), 24_000, 1) as source:
            assert sorted(source.info.tags) == [("TITLE", "A talk é"), ("TRACKNUMBER", "3")]


@pytest.mark.parametrize("version", ["0", "1"])
def test_what_does_not_decode_again_is_never_answered(
    client: httpx.Client, version: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = {"format": version, "lm": "true", "verify": "true"}
    good = client.post("/compress", content=wav(1.2), params=query).content
    assert good == compressed(client, wav(1.2), format=version, lm="true")
    plain = compressed(client, wav(1.2), format=version)
    assert client.post("/transcode", content=plain, params=query).content == good
    monkeypatch.setattr(LanguageModel, "decode_chunks", lambda *_: [np.zeros((8, 90))])
    monkeypatch.setattr(LMDecoder, "decode", lambda *_: np.zeros((8, 90)))
    for call, body in (("/compress", wav(1.2)), ("/transcode", plain)):
        refused(client.post(call, content=body, params=query), 500, "verification_failed")
    assert compressed(client, wav(1.2), format=version, lm="true") == good
