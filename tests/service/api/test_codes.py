"""`POST /codes`: the codes of an `.ecdc` file, as JSON or as a NumPy archive."""

import io

import httpx
import numpy as np
import pytest

from model_core.config import CONFIGS
from model_core.ecdc import segments
from service.pipeline.codes import Codes
from tests.service.calls import MODELS, compressed, refused, unpacked
from tests.service.sounds import wav

NPZ = {"accept": "application/x-npz"}


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
