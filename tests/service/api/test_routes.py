"""The calls that take a file: their documentation, and parameters that are wrong, unknown or
repeated, all of which are refused."""

from typing import Any

import httpx
import pytest

from service.http.problems import PROBLEM_JSON
from tests.service.calls import refused
from tests.service.live import Live
from tests.service.sounds import wav

IDS = {
    "/compress": "compress",
    "/compress/upload": "compressUpload",
    "/decompress": "decompress",
    "/decompress/upload": "decompressUpload",
    "/roundtrip": "roundtrip",
    "/roundtrip/upload": "roundtripUpload",
    "/codes": "codes",
    "/inspect": "inspect",
}
AUDIO_TYPES = ["audio/wav", "audio/flac", "audio/ogg", "audio/mpeg", "audio/x-raw"]
BYTES = {
    "/compress": ["application/octet-stream", "audio/x-encodec"],
    "/transcode": ["application/octet-stream", "audio/x-encodec"],
    "/decompress": AUDIO_TYPES,
    "/roundtrip": AUDIO_TYPES,
}
AUDIO_CALLS = ["/compress", "/roundtrip", "/codes"]


@pytest.fixture(scope="module")
def document(server: Live) -> dict[str, Any]:
    received: dict[str, Any] = httpx.get(f"{server.url}/openapi.json").json()
    return received


def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {path: document["paths"][path]["post"]["operationId"] for path in IDS} == IDS


def test_files_have_binary_schemas(document: dict[str, Any]) -> None:
    for path, media_types in BYTES.items():
        for variant in (path, f"{path}/upload"):
            operation = document["paths"][variant]["post"]
            content = operation["responses"]["200"]["content"]
            assert list(content) == media_types
            for media_type in media_types:
                assert content[media_type]["schema"] == {
                    "type": "string",
                    "format": "binary",
                    "contentMediaType": media_type,
                }
            assert operation["requestBody"]["required"]
    raw = document["paths"]["/codes"]["post"]["requestBody"]["content"]
    assert raw["application/octet-stream"]["schema"]["format"] == "binary"
    upload = document["paths"]["/compress/upload"]["post"]["requestBody"]["content"]
    schema = upload["multipart/form-data"]["schema"]
    assert schema["required"] == ["file"]
    assert schema["properties"]["file"]["format"] == "binary"
    assert schema["properties"]["file"]["contentMediaType"] == "application/octet-stream"


def test_each_call_lists_its_own_problems(document: dict[str, Any]) -> None:
    for path in IDS:
        responses = document["paths"][path]["post"]["responses"]
        for status, response in responses.items():
            is_problem = list(response["content"]) == [PROBLEM_JSON]
            assert is_problem == (status not in ("200", "202"))
        assert {"400", "408", "413", "415", "422", "429", "503", "504"} <= set(responses)
        assert ("409" in responses) == (path != "/inspect")
        chooses = path.removesuffix("/upload") in ("/codes", "/decompress", "/roundtrip")
        assert ("406" in responses) == chooses
    assert "HTTPValidationError" not in document["components"]["schemas"]


@pytest.mark.parametrize("call", AUDIO_CALLS)
def test_wrong_models_and_bandwidths_are_refused_with_what_there_is(
    client: httpx.Client, call: str
) -> None:
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
        problem = refused(post(bandwidth=value), 422, "bad_parameter")
        assert [error["name"] for error in problem["errors"]] == ["bandwidth"]
    for value in ("nan", "inf"):
        assert "finite number" in refused(post(bandwidth=value), 422, "bad_parameter")["detail"]


@pytest.mark.parametrize("call", ["/compress", "/roundtrip"])
def test_lm_must_be_true_or_false(client: httpx.Client, call: str) -> None:
    answer = client.post(call, content=wav(0.2), params={"lm": "perhaps"})
    refused(answer, 422, "bad_parameter")


@pytest.mark.parametrize("call", ["/compress", "/roundtrip"])
def test_a_model_without_a_language_model_refuses_lm(client: httpx.Client, call: str) -> None:
    params: dict[str, str | float] = {"model": "encodec_48khz", "lm": True}
    refused(client.post(call, content=wav(0.2), params=params), 409, "lm_unavailable")


@pytest.mark.parametrize("call", [*AUDIO_CALLS, "/compress/upload", "/decompress", "/inspect"])
def test_unknown_parameters_are_refused_by_name(client: httpx.Client, call: str) -> None:
    params: dict[str, str | int] = {"bandwith": 3, "Model": "x"}
    answer = client.post(call, files={"file": wav(0.2)}, params=params)
    problem = refused(answer, 422, "bad_parameter")
    assert [error["name"] for error in problem["errors"]] == ["Model", "bandwith"]
    assert "'bandwith'" in problem["detail"]


@pytest.mark.parametrize("call", [*AUDIO_CALLS, "/compress/upload"])
def test_repeated_parameters_are_refused_by_name(client: httpx.Client, call: str) -> None:
    answer = client.post(f"{call}?bandwidth=6&bandwidth=12", files={"file": wav(0.2)})
    problem = refused(answer, 422, "bad_parameter")
    assert [error["name"] for error in problem["errors"]] == ["bandwidth"]
