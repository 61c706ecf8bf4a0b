"""`POST /compress`, `/decompress`, `/roundtrip` and `/codes`, on audio in every container."""

import io

import httpx
import numpy as np
import pytest

from model_core.audio import open_audio, pcm16, wav_header
from model_core.config import CONFIGS
from model_core.ecdc import payload_bytes, read_header, segments
from service.pipeline.codes import Codes
from tests.service.calls import MODELS, compressed, refused, samples_of, unpacked
from tests.service.sounds import FORMATS, encoded, float_wav, sound, wav

NPZ = {"accept": "application/x-npz"}


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


def _stereo(samples: np.ndarray) -> bytes:
    """A 16-bit WAV at 48 kHz of `[2, n]`."""
    return wav_header(48_000, 2, samples.shape[1]) + pcm16(samples)


def test_effort_changes_the_codes_not_their_number(client: httpx.Client) -> None:
    audio = wav(1.2)
    files = [compressed(client, audio, effort=effort) for effort in range(4)]
    assert files[0] == compressed(client, audio)
    assert len(set(files)) == 4
    assert len({len(file) for file in files}) == 1
    back = client.post("/decompress", content=files[2])
    assert back.content == client.post("/roundtrip?effort=2", content=audio).content
    ((_, codes),) = unpacked(files[2])
    document = Codes.model_validate_json(client.post("/codes?effort=2", content=audio).content)
    assert document.segments[0].codes == codes.tolist()


def test_with_the_language_model_effort_2_chooses_codes_that_cost_fewer_bits(
    client: httpx.Client,
) -> None:
    """Than those of effort 2 without it, which `/transcode` then codes with it."""
    audio = wav(2.2)
    chosen = compressed(client, audio, effort=2, format=1, lm="true", verify="true")
    plain = compressed(client, audio, effort=2, format=1)
    answer = client.post("/transcode?lm=true", content=plain)
    assert answer.status_code == 200, answer.text
    assert len(chosen) < len(answer.content)
    back = client.post("/decompress", content=chosen)
    assert back.status_code == 200, back.text
    assert len(back.content) == len(client.post("/decompress", content=plain).content)


@pytest.mark.parametrize("effort", ["4", "-1", "1.5", "high"])
@pytest.mark.parametrize("call", ["/compress", "/roundtrip", "/codes", "/compress/upload"])
def test_an_effort_that_there_is_not_is_refused(
    client: httpx.Client, call: str, effort: str
) -> None:
    answer = client.post(call, files={"file": ("a.wav", wav(0.1))}, params={"effort": effort})
    problem = refused(answer, 422, "bad_parameter")
    assert problem["errors"][0]["name"] == "effort"


@pytest.mark.parametrize("call", ["/compress", "/roundtrip", "/codes"])
def test_effort_0_warns_of_what_effort_1_puts_right(client: httpx.Client, call: str) -> None:
    offset = float_wav(sound(1, 1.5, 24_000)[0] * 0.3 + 0.05)
    side = sound(1, 1.5, 48_000)
    opposite = _stereo(np.concatenate([side, -side]))
    for audio, model, expected in (
        (offset, "encodec_24khz", "constant-offset;offset=0.0"),
        (opposite, "encodec_48khz", "opposite-phase;segments=2;of=2;decibels="),
    ):
        answer = client.post(call, content=audio, params={"model": model})
        assert answer.headers["x-encodec-warning"].startswith(expected)
        answer = client.post(call, content=audio, params={"model": model, "effort": 1})
        assert answer.status_code == 200, answer.text
        assert "x-encodec-warning" not in answer.headers
        plain = client.post(call, content=wav(1.5), params={"model": model})
        assert "x-encodec-warning" not in plain.headers


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


@pytest.mark.parametrize("seconds", [0.01, 1.0, 3.2])
@pytest.mark.parametrize("model", MODELS)
def test_json_and_npz_hold_the_codes_of_the_compressed_file(
    client: httpx.Client, model: str, seconds: float
) -> None:
    audio = wav(seconds)
    params: dict[str, str | float] = {"model": model, "bandwidth": 3}
    packed = unpacked(compressed(client, audio, **params))
    answer = client.post("/codes", content=audio, params=params)
    assert answer.status_code == 200, answer.text
    document = Codes.model_validate_json(answer.content)
    config = CONFIGS[model]
    assert document.audio_length == round(seconds * config.sample_rate)
    assert document.num_codebooks == config.codebooks_for(3)
    assert [s.scale for s in document.segments] == [scale for scale, _ in packed]
    places = [(s.offset, s.samples) for s in segments(config, document.audio_length)]
    assert [(s.offset, s.samples) for s in document.segments] == places
    for segment, (_, codes) in zip(document.segments, packed, strict=True):
        assert segment.codes == codes.tolist()
    if seconds > 1:
        assert len({tuple(row) for row in packed[0][1].T}) > 10

    archive = client.post("/codes", content=audio, params=params, headers=NPZ)
    assert archive.headers["content-type"] == "application/x-npz"
    assert int(archive.headers["content-length"]) == len(archive.content)
    with np.load(io.BytesIO(archive.content)) as arrays:
        assert arrays["codes"].dtype == np.uint16
        whole = np.concatenate([codes for _, codes in packed], axis=1)
        assert np.array_equal(arrays["codes"], whole)
        assert arrays["segment_frames"].tolist() == [codes.shape[1] for _, codes in packed]
        assert arrays["segment_offsets"].tolist() == [offset for offset, _ in places]
        assert ("scales" in arrays) == config.normalize
        if config.normalize:
            assert arrays["scales"].tolist() == [scale for scale, _ in packed]
        assert str(arrays["model"]) == document.model
        assert int(arrays["sample_rate"]) == config.sample_rate
    again = client.post("/codes", content=audio, params=params, headers=NPZ)
    assert again.content == archive.content


def test_json_is_sent_in_large_chunks(client: httpx.Client) -> None:
    params: dict[str, str | float] = {"model": "encodec_48khz", "bandwidth": 24}
    with client.stream("POST", "/codes", content=wav(30), params=params) as answer:
        assert answer.headers["x-audio-duration"] == "30.000000"
        pieces = list(answer.iter_raw())
    size = sum(map(len, pieces))
    assert size > 2**18
    assert len(pieces) < 8 * size / 2**16  # a chunk may be read in some pieces
    assert len(Codes.model_validate_json(b"".join(pieces)).segments) == 31


@pytest.mark.parametrize("kind", ["application/json", "application/x-npz"])
def test_accept_chooses_between_json_and_npz(client: httpx.Client, kind: str) -> None:
    answer = client.post("/codes", content=wav(0.3), headers={"accept": kind})
    assert answer.headers["content-type"] == kind
    assert answer.headers["vary"] == "Accept"


def test_any_other_form_is_a_406(client: httpx.Client) -> None:
    answer = client.post("/codes", content=wav(0.3), headers={"accept": "text/html"})
    assert "application/x-npz" in refused(answer, 406, "not_acceptable")["detail"]
