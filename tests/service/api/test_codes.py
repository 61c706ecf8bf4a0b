"""`POST /codes` and `POST /inspect`: what is inside an `.ecdc` file."""

import io

import httpx
import numpy as np
import pytest

from model_core.config import CONFIGS
from model_core.ecdc import BitUnpacker, read_header, read_scale, segments
from service.pipeline.codes import Codes
from tests.service.calls import MODELS, compressed
from tests.service.sounds import wav

NPZ = {"accept": "application/x-npz"}


def unpacked(file: bytes) -> list[tuple[float | None, np.ndarray]]:
    """The scale and the codes `[K, T]` of each segment of an `.ecdc` file without LM."""
    fo = io.BytesIO(file)
    header = read_header(fo)
    config = CONFIGS[header.model.partition(":")[0]]
    found = []
    for segment in segments(config, header.audio_length):
        scale = read_scale(fo) if config.normalize else None
        unpacker = BitUnpacker(config.bits_per_codebook)
        count = segment.frames * header.num_codebooks
        unpacker.feed(fo.read(unpacker.missing(count)))
        codes = unpacker.pull(count).reshape(segment.frames, header.num_codebooks).T
        found.append((scale, codes))
    assert not fo.read()
    return found


@pytest.mark.parametrize("seconds", [0.01, 1.0, 3.2])
@pytest.mark.parametrize("model", MODELS)
def test_json_and_npz_are_what_is_packed(client: httpx.Client, model: str, seconds: float) -> None:
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


def test_json_comes_in_few_pieces(client: httpx.Client) -> None:
    params: dict[str, str | float] = {"model": "encodec_48khz", "bandwidth": 24}
    with client.stream("POST", "/codes", content=wav(30), params=params) as answer:
        assert answer.headers["x-audio-duration"] == "30.000000"
        pieces = list(answer.iter_raw())
    size = sum(map(len, pieces))
    assert size > 2**18
    assert len(pieces) < 8 * size / 2**16  # a chunk may be read in some pieces
    assert len(Codes.model_validate_json(b"".join(pieces)).segments) == 31


@pytest.mark.parametrize(
    ("accept", "kind"),
    [
        ("*/*", "application/json"),
        ("application/*", "application/json"),
        ("application/json;q=0.5, application/x-npz", "application/x-npz"),
        ("application/x-npz;q=0.2, */*;q=0.8", "application/json"),
        ("application/json;q=0, */*;q=0.1", "application/x-npz"),
        ("text/html, */*;q=0.1", "application/json"),
    ],
)
def test_the_form_is_negotiated(client: httpx.Client, accept: str, kind: str) -> None:
    answer = client.post("/codes", content=wav(0.3), headers={"accept": accept})
    assert answer.headers["content-type"] == kind


@pytest.mark.parametrize("accept", ["text/html", "application/json;q=0", "application/json;q=x"])
def test_no_such_form(client: httpx.Client, accept: str) -> None:
    answer = client.post("/codes", content=wav(0.3), headers={"accept": accept})
    assert answer.status_code == 406
    assert answer.json()["code"] == "not_acceptable"
    assert "application/x-npz" in answer.json()["detail"]


@pytest.mark.parametrize("model", MODELS)
def test_inspect(client: httpx.Client, model: str) -> None:
    file = compressed(client, wav(2.5), model=model, bandwidth=12)
    config = CONFIGS[model]
    header = read_header(io.BytesIO(file))
    found = client.post("/inspect", content=file).json()
    start = len(header.to_bytes())
    assert found == {
        "version": 0,
        "model": model,
        "weights": header.model.partition(":")[2],
        "lm_weights": None,
        "weights_available": True,
        "duration_seconds": 2.5,
        "audio_length": round(2.5 * config.sample_rate),
        "sample_rate": config.sample_rate,
        "channels": config.channels,
        "codebooks": config.codebooks_for(12),
        "bandwidth_kbps": 12,
        "kbps": pytest.approx(len(file) * 8 / 2500),
        "lm": False,
        "frames": sum(codes.shape[1] for _, codes in unpacked(file)),
        "header_bytes": start,
        "payload_bytes": len(file) - start,
        "expected_payload_bytes": len(file) - start,
        "trailing_bytes": 0,
        "intact": True,
        "note": "the length fits; this version has no checksum that would show a change",
    }
    short = client.post("/inspect", content=file[:-1]).json()
    assert short["intact"] is False
    assert short["note"]
    longer = client.post("/inspect", content=file + b"abc").json()
    assert (longer["intact"], longer["trailing_bytes"]) == (True, 3)
    assert longer["kbps"] == pytest.approx(len(file) * 8 / 2500)
    decoded = client.post("/decompress", content=file + b"abc")
    assert decoded.headers["x-compressed-bytes"] == str(len(file))


def test_inspect_a_file_with_language_model(client: httpx.Client) -> None:
    file = compressed(client, wav(1), lm=True)
    found = client.post("/inspect", content=file).json()
    assert found["lm"]
    assert found["intact"] is None
    assert found["expected_payload_bytes"] is None
    assert "decoded" in found["note"]
    assert len(found["lm_weights"]) == 8
    start = found["header_bytes"]
    assert client.post("/inspect", content=file[: start + 1]).json()["intact"] is False


def test_inspect_without_the_weights(client: httpx.Client) -> None:
    file = compressed(client, wav(1))
    name = read_header(io.BytesIO(file)).model
    other = file.replace(name.encode(), name[:-8].encode() + b"00000000")
    found = client.post("/inspect", content=other).json()
    assert found["weights"] == "00000000"
    assert found["weights_available"] is False
    assert found["intact"] is True
    answer = client.post("/decompress", content=other)
    assert answer.status_code == 409
    assert answer.json()["code"] == "weights_unavailable"
