"""Every error ends in a problem document, or cuts off an answer that has begun."""

import asyncio
import contextlib
import errno
from typing import Any

import pytest

from model_core import errors
from service.api.errors import to_problem
from service.app import create_app
from service.decoder.protocol import DecoderError
from service.http.problems import PROBLEM_JSON, Problem, ProblemCode, ProblemDocument
from service.inference.scheduler import SchedulerError
from service.settings import Settings
from tests.service.in_process import app_with_calls, get, request


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
        (OSError(errno.EIO, "broken", "/secret"), ProblemCode.INSUFFICIENT_STORAGE),
        (Problem(ProblemCode.BUSY), ProblemCode.BUSY),
    ],
)
def test_every_error_has_its_problem_and_paths_stay_secret(
    error: Exception, code: ProblemCode
) -> None:
    problem = to_problem(error)
    assert problem.code is code
    assert "/secret" not in problem.detail


@pytest.mark.anyio
async def test_an_unexpected_error_is_a_500_that_tells_no_secret() -> None:
    answer = await get(app_with_calls(), "/broken")
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == PROBLEM_JSON
    assert ProblemDocument.model_validate_json(answer.content).code == "internal_error"
    assert "secret" not in answer.text


@pytest.mark.anyio
async def test_a_full_disk_is_a_507() -> None:
    answer = await get(app_with_calls(), "/full")
    assert answer.status_code == 507
    assert ProblemDocument.model_validate_json(answer.content).code == "insufficient_storage"
    assert "secret" not in answer.text


@pytest.mark.anyio
async def test_a_wrong_parameter_is_named() -> None:
    answer = await get(app_with_calls(), "/number/x")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == PROBLEM_JSON
    problem = ProblemDocument.model_validate_json(answer.content)
    assert problem.code == "bad_parameter"
    assert problem.errors is not None
    assert [(e.name, e.location) for e in problem.errors] == [("n", "path")]
    assert problem.detail.startswith("n: ")


@pytest.mark.anyio
async def test_unknown_paths_and_methods_are_problem_documents() -> None:
    app = app_with_calls()
    missing = await get(app, "/number/")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert missing.json()["detail"] == "GET /number/"
    wrong = await request(app, "DELETE", "/models")
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["Content-Type"] == PROBLEM_JSON
    assert wrong.json()["detail"] == "DELETE is not taken here; use GET, HEAD"


@pytest.mark.anyio
async def test_a_parameter_of_two_kinds_is_named_once() -> None:
    answer = await request(app_with_calls(), "POST", "/decompress?sample_rate=1000")
    assert answer.json()["errors"] == [
        {
            "name": "sample_rate",
            "location": "query",
            "message": "Input should be greater than or equal to 4000, "
            "or Input should be 'original'",
        }
    ]


@pytest.mark.anyio
async def test_allow_lists_the_methods_that_work_and_head_works_wherever_get_does() -> None:
    app = create_app(Settings(device="cpu"))
    documented = {path: set(operations) for path, operations in app.openapi()["paths"].items()}
    pages = {path: {"get"} for path in ("/openapi.json", "/docs", "/redoc")}
    for path, methods in (documented | pages).items():
        expected = {method.upper() for method in methods}
        assert expected in ({"GET"}, {"POST"}, {"GET", "DELETE"})
        expected |= {"HEAD"} if "GET" in expected else set()
        for method in ("GET", "HEAD", "POST", "PUT", "DELETE", "BREW"):
            answer = await request(app, method, path)
            assert (answer.status_code != 405) == (method in expected), (method, path)
            allow = None if method in expected else ", ".join(sorted(expected))
            assert answer.headers.get("Allow") == allow, (method, path)


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("kind", "raised"),
    [("unexpected", pytest.raises(ZeroDivisionError)), ("known", contextlib.nullcontext())],
)
async def test_an_error_after_the_answer_began_leaves_it_incomplete(
    kind: str, raised: contextlib.AbstractContextManager[Any]
) -> None:
    app = app_with_calls()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.Event().wait()  # the client stays
        raise AssertionError

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.4"},
        "http_version": "1.1",
        "method": "GET",
        "path": f"/cut/{kind}",
        "raw_path": f"/cut/{kind}".encode(),
        "query_string": b"",
        "headers": [],
    }
    with raised:
        await app(scope, receive, send)
    bodies = [message for message in sent if message["type"] == "http.response.body"]
    assert [(body["body"], body["more_body"]) for body in bodies] == [(b"half", True)]
    metrics = (await get(app, "/metrics")).text
    assert 'encodec_responses_cut_off_total{route="/cut/{kind}"} 1.0' in metrics
