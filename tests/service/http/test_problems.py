"""The table of problems, and their documents."""

import pytest

from service.http.problems import Problem, ProblemCode, ProblemDocument


def test_every_status_of_the_contract_is_used() -> None:
    for status in (400, 401, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503, 504, 507):
        assert any(code.status == status for code in ProblemCode)


@pytest.mark.parametrize("code", list(ProblemCode))
def test_a_document_carries_status_title_and_code(code: ProblemCode) -> None:
    problem = Problem(code, "what is wrong")
    document = problem.document()
    assert document.type == f"urn:encodec:problem:{code}"
    assert document.title == code.summary
    assert (document.status, document.code) == (code.status, code)
    assert document.detail == "what is wrong"
    assert ("Retry-After" in problem.headers) == (document.status in (429, 503))
    assert ("WWW-Authenticate" in problem.headers) == (document.status == 401)
    read = ProblemDocument.model_validate_json(document.model_dump_json(exclude_none=True))
    assert read == document
