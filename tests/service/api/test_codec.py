"""`POST /compress`, `/decompress` and `/roundtrip`, on audio in every container."""

import io

import httpx
import numpy as np
import pytest

from model_core.audio import open_audio
from model_core.config import CONFIGS
from model_core.ecdc import payload_bytes, read_header
from tests.service.calls import MODELS, compressed, samples_of
from tests.service.sounds import FORMATS, encoded, wav


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


def test_escaped_quotes_in_a_file_name_become_quotes(client: httpx.Client) -> None:
    """curl and browsers escape a quote in it as %22."""
    answer = client.post("/compress", files={"file": ('my "best" take.wav', wav(0.2))})
    disposition = answer.headers["content-disposition"]
    assert disposition.endswith("filename*=UTF-8''my%20%22best%22%20take.ecdc")


@pytest.mark.parametrize(
    ("model", "bandwidth"),
    [(name, b) for name, config in CONFIGS.items() for b in config.target_bandwidths],
)
def test_headers_describe_the_compressed_file(
    client: httpx.Client, model: str, bandwidth: float
) -> None:
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


def test_a_language_model_changes_the_bytes_not_the_audio(client: httpx.Client) -> None:
    audio = wav(1.1)
    plain, coded = compressed(client, audio), compressed(client, audio, lm=True)
    assert read_header(io.BytesIO(coded)).lm
    assert plain != coded
    back = client.post("/decompress", content=coded)
    assert back.status_code == 200, back.text
    assert back.content == client.post("/decompress", content=plain).content
    assert back.content == client.post("/roundtrip?lm=true", content=audio).content


def test_a_body_without_a_length_is_streamed(client: httpx.Client) -> None:
    audio = wav(3)
    pieces = (audio[i : i + 1000] for i in range(0, len(audio), 1000))
    answer = client.post("/compress", content=pieces)
    assert answer.status_code == 200, answer.text
    assert answer.content == compressed(client, audio)


@pytest.mark.parametrize("call", ["/compress", "/decompress", "/roundtrip"])
def test_multipart_gives_the_same_answer_as_the_bare_body(client: httpx.Client, call: str) -> None:
    body = compressed(client, wav()) if call == "/decompress" else wav()
    raw = client.post(call, content=body)
    for path in (call, f"{call}/upload"):
        answer = client.post(path, files={"file": ("früh am Tag.x.wav", body, "audio/x-any")})
        assert answer.status_code == 200, answer.text
        assert answer.content == raw.content
        disposition = answer.headers["content-disposition"]
        suffix = ".ecdc" if call == "/compress" else ".wav"
        assert f"fr%C3%BCh%20am%20Tag.x{suffix}" in disposition
