"""The OpenAPI document of the calls that take a file: names, bodies, answers, problems."""

from typing import Any

import httpx
import pytest

from service.http.problems import PROBLEM_JSON
from tests.service.live import Live

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
BYTES = {
    "/compress": "application/octet-stream",
    "/decompress": "audio/wav",
    "/roundtrip": "audio/wav",
}


@pytest.fixture(scope="module")
def document(server: Live) -> dict[str, Any]:
    received: dict[str, Any] = httpx.get(f"{server.url}/openapi.json").json()
    return received


def test_operation_ids_are_stable(document: dict[str, Any]) -> None:
    assert document["openapi"].startswith("3.1")
    assert {path: document["paths"][path]["post"]["operationId"] for path in IDS} == IDS


def test_files_have_binary_schemas(document: dict[str, Any]) -> None:
    for path, media_type in BYTES.items():
        for variant in (path, f"{path}/upload"):
            operation = document["paths"][variant]["post"]
            content = operation["responses"]["200"]["content"]
            assert list(content) == [media_type]
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
            assert is_problem == (status != "200")
        assert {"400", "408", "413", "415", "422", "429", "503", "504"} <= set(responses)
        assert ("409" in responses) == (path != "/inspect")
        chooses = path.removesuffix("/upload") in ("/codes", "/decompress", "/roundtrip")
        assert ("406" in responses) == chooses
    assert "HTTPValidationError" not in document["components"]["schemas"]
