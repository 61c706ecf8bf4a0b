"""`GET /models/{id}/weights`: what is sent, how it is kept, and who gets none."""

import httpx
import numpy as np
import pytest
from safetensors.numpy import load

from model_core.checkpoints import shared_registry
from model_core.checkpoints.read import read_lm, read_network
from model_core.codec import Codec
from model_core.engine.plan import weight_shapes
from model_core.entropy.native_lm import flat_arrays
from model_core.entropy.quantize import quantize
from tests.service.live import Live


@pytest.fixture
def codec(server: Live) -> Codec:
    """The 24 kHz model of the service."""
    found = server.app.state.models.served()[0].codec
    assert isinstance(found, Codec)
    return found


def get(client: httpx.Client, id: str, part: str, **headers: str) -> httpx.Response:
    sent = {name.replace("_", "-"): value for name, value in headers.items()}
    return client.get(f"/models/{id}/weights", params={"part": part}, headers=sent)


def test_the_parts_hold_the_network_in_float16_in_the_engine_s_order(
    client: httpx.Client, codec: Codec
) -> None:
    assert codec.weights is not None
    state = read_network(codec.weights).state
    assert state is not None
    names: list[str] = []
    for part in ("encoder", "decoder", "codebooks"):
        answer = get(client, codec.name, part)
        assert answer.status_code == 200
        tensors = load(answer.content)
        for name, values in tensors.items():
            assert values.dtype == np.float16
            np.testing.assert_array_equal(values, state[name].astype(np.float16))
        names += in_order(answer.content)
    plain = [n.removesuffix("_v") for n in names if not n.endswith("_g")]
    assert plain == list(weight_shapes(codec.config))


def in_order(data: bytes) -> list[str]:
    """The names of the tensors, as they stand in the file."""
    import json

    size = int.from_bytes(data[:8], "little")
    header = json.loads(data[8 : 8 + size])
    assert json.loads(header.pop("__metadata__")["config"])["name"] == "encodec_24khz"
    return sorted(header, key=lambda name: header[name]["data_offsets"][0])


def test_the_language_model_comes_in_its_integers(client: httpx.Client, codec: Codec) -> None:
    assert codec.lm_name is not None
    assert codec.weights is not None
    lm = shared_registry(codec.weights.origin).fetch_lm(codec.weights)
    tensors = load(get(client, codec.lm_name, "lm").content)
    expected = flat_arrays(quantize(read_lm(lm), lm.config))
    for name, array in zip(("numbers", "weights", "tables"), expected, strict=True):
        np.testing.assert_array_equal(tensors[name], array)


def test_a_file_can_be_kept_for_good(client: httpx.Client, codec: Codec) -> None:
    whole = get(client, codec.name, "decoder")
    assert whole.headers["Cache-Control"] == "public, max-age=31536000, immutable"
    etag = whole.headers["ETag"]
    for known in (etag, f'"x", W/{etag}', "*"):
        again = get(client, codec.name, "decoder", If_None_Match=known)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == etag
    assert get(client, codec.name, "decoder", If_None_Match='"x"').status_code == 200
    assert get(client, codec.name, "codebooks", If_None_Match=etag).status_code == 200


@pytest.mark.parametrize(
    ("field", "first", "last"),
    [("bytes=0-9", 0, 10), ("bytes=100-", 100, None), ("bytes=-7", -7, None)],
)
def test_a_range_of_it_can_be_had(
    client: httpx.Client, codec: Codec, field: str, first: int, last: int | None
) -> None:
    whole = get(client, codec.name, "decoder")
    part = get(client, codec.name, "decoder", Range=field, If_Range=whole.headers["ETag"])
    assert part.status_code == 206
    assert part.content == whole.content[first:last]
    begin = first % len(whole.content)
    end = begin + len(part.content) - 1
    assert part.headers["Content-Range"] == f"bytes {begin}-{end}/{len(whole.content)}"
    other = get(client, codec.name, "decoder", Range=field, If_Range='"x"')
    assert (other.status_code, other.content) == (200, whole.content)


@pytest.mark.parametrize("field", ["bytes=9-3", "bytes=0-1,5-6", "lines=1-2"])
def test_a_range_that_does_not_fit_is_ignored(
    client: httpx.Client, codec: Codec, field: str
) -> None:
    assert get(client, codec.name, "decoder", Range=field).status_code == 200


def test_a_range_behind_the_end_is_a_416(client: httpx.Client, codec: Codec) -> None:
    size = len(get(client, codec.name, "decoder").content)
    answer = get(client, codec.name, "decoder", Range="bytes=99999999999-")
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{size}"


@pytest.mark.parametrize(
    "id",
    ["encodec_24khz:00000000", "encodec_96khz", "x", "encodec_24khz:0000000", "a" * 100],
)
@pytest.mark.parametrize("part", ["decoder", "lm"])
def test_weights_that_are_not_here_are_a_404(client: httpx.Client, id: str, part: str) -> None:
    answer = get(client, id, part)
    assert (answer.status_code, answer.json()["code"]) == (404, "not_found")
    assert "there are encodec_24khz:" in answer.json()["detail"]


def test_a_name_without_its_language_model_is_a_404_for_it(
    client: httpx.Client, codec: Codec
) -> None:
    assert get(client, codec.name, "lm").status_code == 404


def test_a_part_that_is_none_is_a_422(client: httpx.Client, codec: Codec) -> None:
    for answer in (
        get(client, codec.name, "everything"),
        client.get(f"/models/{codec.name}/weights"),
        client.get(f"/models/{codec.name}/weights?part=lm&x=1"),
    ):
        assert (answer.status_code, answer.json()["code"]) == (422, "bad_parameter")
