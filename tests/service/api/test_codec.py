"""Every call over a socket, on audio of every kind."""

import concurrent.futures
import io
import struct
from pathlib import Path

import httpx
import numpy as np
import pytest

from model_core.audio import open_audio
from model_core.codec import Codec, Compressor, run_now
from model_core.config import CONFIGS
from model_core.ecdc import payload_bytes, read_header
from tests.service.calls import compressed, samples_of
from tests.service.live import Live
from tests.service.sounds import FORMATS, encoded, l16, wav

MODELS = list(CONFIGS)


@pytest.mark.parametrize("model", MODELS)
@pytest.mark.parametrize("container", FORMATS)
def test_any_container_comes_back_at_its_length(
    client: httpx.Client, model: str, container: str
) -> None:
    audio = encoded(container)
    config = CONFIGS[model]
    with open_audio(io.BytesIO(audio), config.sample_rate, config.channels) as blocks:
        expected = sum(block.shape[1] for block in blocks)
    answer = client.post("/compress", content=audio, params={"model": model})
    assert answer.status_code == 200, answer.text
    header = read_header(io.BytesIO(answer.content))
    assert header.audio_length == expected
    assert len(answer.content) == len(header.to_bytes()) + payload_bytes(config, header)
    back = client.post("/decompress", content=answer.content)
    assert back.status_code == 200, back.text
    assert back.headers["content-type"] == "audio/wav"
    assert int(back.headers["content-length"]) == len(back.content)
    samples = samples_of(back.content)
    assert samples.shape == (expected, config.channels)
    assert samples.std() > 0
    assert np.abs(samples).max() <= round(0.99 * 32767)


@pytest.mark.parametrize("model", MODELS)
def test_the_answer_is_what_the_codec_makes(
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


def test_an_upload_keeps_its_name(client: httpx.Client) -> None:
    """curl and browsers escape a quote in it as %22."""
    answer = client.post("/compress", files={"file": ('my "best" take.wav', wav(0.2))})
    disposition = answer.headers["content-disposition"]
    assert disposition.endswith("filename*=UTF-8''my%20%22best%22%20take.ecdc")


def test_headerless_samples_of_24_bits(client: httpx.Client) -> None:
    rate, samples = 24_000, np.round(np.random.default_rng(1).normal(0, 3000, 12_000))
    wide = (samples.astype(">i4") * 256).astype(">i4").view(np.uint8).reshape(-1, 4)[:, 1:]
    coded = [
        client.post(
            "/compress", content=body, headers={"content-type": f"audio/{kind}; rate={rate}"}
        ).content
        for kind, body in (("L16", samples.astype(">i2").tobytes()), ("L24", wide.tobytes()))
    ]
    assert coded[0] == coded[1]


@pytest.mark.parametrize(
    ("model", "bandwidth"),
    [(name, b) for name, config in CONFIGS.items() for b in config.target_bandwidths],
)
def test_headers_say_what_was_made(client: httpx.Client, model: str, bandwidth: float) -> None:
    answer = client.post(
        "/compress", content=wav(1.5), params={"model": model, "bandwidth": bandwidth}
    )
    assert answer.headers["content-type"] == "application/octet-stream"
    assert 'filename="audio.ecdc"' in answer.headers["content-disposition"]
    assert int(answer.headers["content-length"]) == len(answer.content)
    assert answer.headers["x-encodec-model"] == model
    assert answer.headers["x-encodec-weights"].startswith("folder:")
    assert float(answer.headers["x-encodec-bandwidth"]) == bandwidth
    assert float(answer.headers["x-audio-duration"]) == 1.5
    assert int(answer.headers["x-compressed-bytes"]) == len(answer.content)
    kbps = len(answer.content) * 8 / 1.5 / 1000
    assert float(answer.headers["x-compressed-kbps"]) == pytest.approx(kbps, abs=1e-3)
    assert answer.headers["x-request-id"]
    header = read_header(io.BytesIO(answer.content))
    assert header.num_codebooks == CONFIGS[model].codebooks_for(bandwidth)
    assert header.model.endswith(answer.headers["x-encodec-weights"].partition(":")[2])


@pytest.mark.parametrize("model", MODELS)
def test_roundtrip_is_compress_then_decompress(client: httpx.Client, model: str) -> None:
    audio = wav(2.2)
    file = compressed(client, audio, model=model)
    back = client.post("/decompress", content=file)
    both = client.post("/roundtrip", content=audio, params={"model": model})
    assert both.status_code == 200, both.text
    assert both.content == back.content
    assert int(both.headers["x-compressed-bytes"]) == len(file)
    assert both.headers["x-compressed-kbps"] == back.headers["x-compressed-kbps"]


def test_language_model_makes_the_same_audio_of_other_bytes(client: httpx.Client) -> None:
    audio = wav(1.1)
    plain, coded = compressed(client, audio), compressed(client, audio, lm=True)
    assert read_header(io.BytesIO(coded)).lm
    assert plain != coded
    back = client.post("/decompress", content=coded)
    assert back.status_code == 200, back.text
    assert back.content == client.post("/decompress", content=plain).content
    assert back.content == client.post("/roundtrip?lm=true", content=audio).content


def test_rescale_keeps_the_shape_of_loud_audio(client: httpx.Client) -> None:
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


@pytest.mark.parametrize("channels", [1, 2])
def test_headerless_pcm(client: httpx.Client, channels: int) -> None:
    kind = f"audio/L16; rate=16000; channels={channels}"
    answer = client.post(
        "/compress", content=l16(1.25, 16_000, channels), headers={"content-type": kind}
    )
    assert answer.status_code == 200, answer.text
    same = compressed(client, wav(1.25, 16_000, channels))
    assert answer.content == same


def test_any_other_content_type_is_ignored(client: httpx.Client) -> None:
    audio = wav()
    kinds = ["audio/flac", "application/x-www-form-urlencoded", "nonsense", "text/plain"]
    answers = {
        client.post("/compress", content=audio, headers={"content-type": kind}).content
        for kind in kinds
    }
    assert answers == {compressed(client, audio)}


def test_a_body_without_a_length_is_streamed(client: httpx.Client) -> None:
    audio = wav(3)
    pieces = (audio[i : i + 1000] for i in range(0, len(audio), 1000))
    answer = client.post("/compress", content=pieces)
    assert answer.status_code == 200, answer.text
    assert answer.content == compressed(client, audio)


@pytest.mark.parametrize("call", ["/compress", "/decompress", "/roundtrip"])
def test_multipart_is_the_same(client: httpx.Client, call: str) -> None:
    body = compressed(client, wav()) if call == "/decompress" else wav()
    raw = client.post(call, content=body)
    for path in (call, f"{call}/upload"):
        answer = client.post(path, files={"file": ("früh am Tag.x.wav", body, "audio/x-any")})
        assert answer.status_code == 200, answer.text
        assert answer.content == raw.content
        disposition = answer.headers["content-disposition"]
        suffix = ".ecdc" if call == "/compress" else ".wav"
        assert f"fr%C3%BCh%20am%20Tag.x{suffix}" in disposition


def test_multipart_part_may_be_headerless_pcm(client: httpx.Client) -> None:
    part = ("x", l16(1, 48_000, 2), "audio/L16; rate=48000; channels=2")
    answer = client.post("/compress/upload", files={"file": part})
    assert answer.content == compressed(client, wav(1, 48_000, 2))


def test_the_same_bytes_under_load(server: Live) -> None:
    kinds = [("encodec_24khz", False), ("encodec_24khz", True), ("encodec_48khz", False)]
    jobs = [(wav(1.7, seed=seed), model, lm) for seed in (1, 2) for model, lm in kinds]
    with server.client() as client:

        def once(job: tuple[bytes, str, bool]) -> bytes:
            audio, model, lm = job
            return compressed(client, audio, model=model, lm=lm)

        alone = [once(job) for job in jobs]
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            together = list(pool.map(once, jobs * 3))
    assert together == alone * 3
    assert len(set(alone)) == len(alone)
    server.wait_until_idle()
