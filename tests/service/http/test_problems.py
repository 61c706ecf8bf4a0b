"""The table of errors, and what each error of the codec is to the client."""

import errno

import pytest

from model_core import errors
from service.api.errors import to_problem
from service.decoder.protocol import DecoderError
from service.http.problems import (
    PROBLEM_JSON,
    PROBLEMS,
    Problem,
    ProblemCode,
    ProblemDocument,
    problem_responses,
)
from service.inference.scheduler import SchedulerError


def test_every_code_is_in_the_table() -> None:
    assert set(PROBLEMS) == set(ProblemCode)


def test_the_statuses_of_the_contract_are_there() -> None:
    for status in (400, 401, 404, 405, 408, 409, 413, 415, 422, 429, 500, 503, 504, 507):
        assert any(kind.status == status for kind in PROBLEMS.values())


@pytest.mark.parametrize("code", list(ProblemCode))
def test_a_problem_says_its_kind(code: ProblemCode) -> None:
    problem = Problem(code, "this very one")
    document = problem.document()
    assert document.type == f"urn:encodec:problem:{code}"
    assert document.title == PROBLEMS[code].title
    assert (document.status, document.code) == (PROBLEMS[code].status, code)
    assert document.detail == "this very one"
    assert ("Retry-After" in problem.headers) == (document.status in (429, 503))
    assert ("WWW-Authenticate" in problem.headers) == (document.status == 401)
    read = ProblemDocument.model_validate_json(document.model_dump_json(exclude_none=True))
    assert read == document


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (errors.InvalidAudioError("x"), ProblemCode.UNDECODABLE_AUDIO),
        (errors.AudioTooLongError("x"), ProblemCode.TOO_LONG),
        (errors.UnsupportedBandwidthError("x"), ProblemCode.UNSUPPORTED_BANDWIDTH),
        (errors.UnknownModelError("x"), ProblemCode.UNKNOWN_MODEL),
        (errors.BitstreamError("x"), ProblemCode.BROKEN_ECDC),
        (errors.TruncatedBitstreamError("x"), ProblemCode.TRUNCATED_ECDC),
        (errors.WeightsUnavailableError("x"), ProblemCode.WEIGHTS_UNAVAILABLE),
        (errors.WeightsError("/secret/path: x"), ProblemCode.WEIGHTS_UNAVAILABLE),
        (errors.EncodecError("x"), ProblemCode.INTERNAL_ERROR),
        (ZeroDivisionError("x"), ProblemCode.INTERNAL_ERROR),
        (SchedulerError("x"), ProblemCode.UNAVAILABLE),
        (SchedulerError("x", stopping=True), ProblemCode.SHUTTING_DOWN),
        (DecoderError("x"), ProblemCode.UNAVAILABLE),
        (OSError(errno.ENOSPC, "no space", "/secret"), ProblemCode.INSUFFICIENT_STORAGE),
        (OSError(errno.EDQUOT, "quota", "/secret"), ProblemCode.INSUFFICIENT_STORAGE),
        (OSError(errno.EMFILE, "too many", "/secret"), ProblemCode.UNAVAILABLE),
        (OSError(errno.ENFILE, "too many", "/secret"), ProblemCode.UNAVAILABLE),
        (OSError(errno.EIO, "broken", "/secret"), ProblemCode.INTERNAL_ERROR),
        (Problem(ProblemCode.BUSY), ProblemCode.BUSY),
    ],
)
def test_errors_become_problems(error: Exception, code: ProblemCode) -> None:
    problem = to_problem(error)
    assert problem.code is code
    assert "/secret" not in problem.detail


def test_responses_are_documented_to_problems_only() -> None:
    responses = problem_responses(ProblemCode.BUSY, ProblemCode.BROKEN_ECDC, ProblemCode.EMPTY_BODY)
    assert list(responses) == [400, 429]
    for response in responses.values():
        assert list(response["content"]) == [PROBLEM_JSON]
    assert "`empty_body`" in responses[400]["description"]
    assert "`broken_ecdc`" in responses[400]["description"]
    assert "`truncated_ecdc`" not in responses[400]["description"]
    assert "Retry-After" in responses[429]["headers"]
    assert "WWW-Authenticate" in problem_responses(ProblemCode.UNAUTHORIZED)[401]["headers"]
