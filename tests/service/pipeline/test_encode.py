"""Uploads of audio: what counts as audio, headerless PCM, and the codes it becomes."""

import io
from pathlib import Path

import httpx
import numpy as np
import pytest

from model_core.audio import open_audio
from model_core.codec import Codec, Compressor, run_now
from model_core.config import CONFIGS
from tests.service.calls import MODELS, compressed, refused
from tests.service.sounds import encoded, float_wav, l16, wav

AUDIO_CALLS = ["/compress", "/roundtrip", "/codes"]
NOISE = np.random.default_rng(0).bytes(20_000)


@pytest.mark.parametrize("model", MODELS)
def test_compress_gives_the_bytes_of_the_codec(
    client: httpx.Client, weights: Path, model: str, one_thread: None
) -> None:
    audio = wav(2.6)
    config = CONFIGS[model]
    compressor = Compressor(Codec.load(model, str(weights)), 12)
    payload = b""
    with open_audio(io.BytesIO(audio), config.sample_rate, config.channels) as blocks:
        for block in blocks:
            payload += run_now(compressor.push(block))
    payload += run_now(compressor.finish())
    expected = compressor.header.to_bytes() + payload
    assert compressed(client, audio, model=model, bandwidth=12) == expected


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
def test_undecodable_audio_is_refused(
    client: httpx.Client, call: str, body: bytes, word: str
) -> None:
    for model in MODELS:
        answer = client.post(call, content=body, params={"model": model})
        assert word in refused(answer, 400, "undecodable_audio")["detail"]


@pytest.mark.parametrize("channels", [1, 2])
def test_l16_is_big_endian_pcm_without_a_header(client: httpx.Client, channels: int) -> None:
    kind = f"audio/L16; rate=16000; channels={channels}"
    answer = client.post(
        "/compress", content=l16(1.25, 16_000, channels), headers={"content-type": kind}
    )
    assert answer.status_code == 200, answer.text
    same = compressed(client, wav(1.25, 16_000, channels))
    assert answer.content == same


def test_l24_is_l16_with_a_byte_more(client: httpx.Client) -> None:
    rate, samples = 24_000, np.round(np.random.default_rng(1).normal(0, 3000, 12_000))
    wide = (samples.astype(">i4") * 256).astype(">i4").view(np.uint8).reshape(-1, 4)[:, 1:]
    coded = [
        client.post(
            "/compress", content=body, headers={"content-type": f"audio/{kind}; rate={rate}"}
        ).content
        for kind, body in (("L16", samples.astype(">i2").tobytes()), ("L24", wide.tobytes()))
    ]
    assert coded[0] == coded[1]


def test_a_multipart_part_can_be_headerless_pcm(client: httpx.Client) -> None:
    part = ("x", l16(1, 48_000, 2), "audio/L16; rate=48000; channels=2")
    answer = client.post("/compress/upload", files={"file": part})
    assert answer.content == compressed(client, wav(1, 48_000, 2))


@pytest.mark.parametrize(
    "kind",
    ["audio/L16", "audio/l16; channels=2", "audio/L16; rate=x", "audio/L16; rate=1",
     "audio/L16; rate=16000; channels=0", "audio/L16; rate=16000; channels=1000",
     "audio/L16; rate=16000; endianness=little", "audio/L8; rate=8000", "audio/pcm",
     "audio/L16; rate*=utf-8''8000", "audio/L16; rate=8000; rate=9000"],
)  # fmt: skip
def test_headerless_pcm_needs_a_known_format_rate_and_channels(
    client: httpx.Client, kind: str
) -> None:
    answer = client.post("/compress", content=bytes(3200), headers={"content-type": kind})
    refused(answer, 415, "unsupported_media_type")


def test_headerless_pcm_that_ends_within_a_sample_is_refused(client: httpx.Client) -> None:
    answer = client.post(
        "/compress", content=bytes(3201), headers={"content-type": "audio/L16; rate=16000"}
    )
    refused(answer, 400, "undecodable_audio")


def test_other_content_types_are_ignored(client: httpx.Client) -> None:
    audio = wav()
    kinds = ["audio/flac", "application/x-www-form-urlencoded", "nonsense", "text/plain"]
    answers = {
        client.post("/compress", content=audio, headers={"content-type": kind}).content
        for kind in kinds
    }
    assert answers == {compressed(client, audio)}
