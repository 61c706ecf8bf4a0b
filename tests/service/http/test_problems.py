"""The table of problems, their documents, and how they are documented."""

import pytest

from service.http.problems import (
    PROBLEM_JSON,
    PROBLEMS,
    Problem,
    ProblemCode,
    ProblemDocument,
    problem_responses,
)


def test_every_code_has_a_status_and_a_title() -> None:
    assert set(PROBLEMS) == set(ProblemCode)


def test_every_status_of_the_contract_is_used() -> None:
    for status in (400, 401, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503, 504, 507):
        assert any(kind.status == status for kind in PROBLEMS.values())


@pytest.mark.parametrize("code", list(ProblemCode))
def test_a_document_carries_status_title_and_code(code: ProblemCode) -> None:
    problem = Problem(code, "what is wrong")
    document = problem.document()
    assert document.type == f"urn:encodec:problem:{code}"
    assert document.title == PROBLEMS[code].title
    assert (document.status, document.code) == (PROBLEMS[code].status, code)
    assert document.detail == "what is wrong"
    assert ("Retry-After" in problem.headers) == (document.status in (429, 503))
    assert ("WWW-Authenticate" in problem.headers) == (document.status == 401)
    read = ProblemDocument.model_validate_json(document.model_dump_json(exclude_none=True))
    assert read == document


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
