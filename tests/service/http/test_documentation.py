"""What the OpenAPI document gets beyond the framework's: problems, request ids, optional keys."""

from copy import deepcopy
from typing import Any

import pytest

from service.app import create_app
from service.http.documentation import problem_responses
from service.http.problems import PROBLEM_JSON, ProblemCode
from service.settings import Settings


@pytest.fixture(scope="module")
def document() -> dict[str, Any]:
    return create_app(Settings.model_construct(device="cpu")).openapi()


def operations(document: dict[str, Any]) -> list[dict[str, Any]]:
    return [operation for path in document["paths"].values() for operation in path.values()]


def test_errors_and_only_errors_are_problem_documents(document: dict[str, Any]) -> None:
    assert {"getLive", "getReady", "listModels", "getMetrics"} <= {
        operation["operationId"] for operation in operations(document)
    }
    for operation in operations(document):
        for status, response in operation["responses"].items():
            kinds = list(response.get("content", {}))
            assert (kinds == [PROBLEM_JSON]) == (int(status) >= 400), operation["operationId"]
    schemas = document["components"]["schemas"]
    assert schemas["ProblemCode"]["enum"] == [str(code) for code in ProblemCode]
    assert "HTTPValidationError" not in schemas


def test_every_response_carries_the_request_id(document: dict[str, Any]) -> None:
    for operation in operations(document):
        for response in operation["responses"].values():
            assert "X-Request-ID" in response["headers"]


def test_keys_are_optional_and_operators_need_none(document: dict[str, Any]) -> None:
    for operation in operations(document):
        if operation["tags"][0] in ("health", "metrics"):
            assert "security" not in operation
        else:
            assert operation["security"] == [{}, {"bearer": []}, {"apiKey": []}]


def test_completing_the_document_twice_changes_nothing() -> None:
    app = create_app(Settings.model_construct(device="cpu"))
    first = deepcopy(app.openapi())
    assert app.openapi() == first


def test_error_responses_are_documented_by_status() -> None:
    responses = problem_responses(ProblemCode.BUSY, ProblemCode.BROKEN_ECDC, ProblemCode.EMPTY_BODY)
    assert list(responses) == [400, 429]
    for response in responses.values():
        assert list(response["content"]) == [PROBLEM_JSON]
    assert "`empty_body`" in responses[400]["description"]
    assert "`broken_ecdc`" in responses[400]["description"]
    assert "`truncated_ecdc`" not in responses[400]["description"]
    assert "Retry-After" in responses[429]["headers"]
    assert "WWW-Authenticate" in problem_responses(ProblemCode.UNAUTHORIZED)[401]["headers"]
