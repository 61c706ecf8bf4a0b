"""What surrounds every call: ids, the last resort, metrics, keys; in the app itself."""

import asyncio
import contextlib
import errno
from collections.abc import AsyncIterator, Callable
from functools import partial
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from model_core.errors import BitstreamError
from service.app import create_app
from service.http.middleware import request_stats
from service.http.problems import PROBLEM_JSON, ProblemDocument
from service.settings import Settings


def app_with_calls(**settings: Any) -> FastAPI:
    """The real app, with a few calls more that end in ways real ones should not."""
    app = create_app(Settings(device="cpu", **settings))

    @app.get("/number/{n}")
    async def number(n: int, request: Request) -> int:
        request_stats(request).model = "encodec_24khz"
        return n

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a secret of the service")

    @app.get("/gone")
    async def gone() -> None:
        raise ClientDisconnect

    @app.get("/full")
    async def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/a secret of the service")

    @app.get("/cut/{kind}")
    async def cut(kind: str) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            raise {"unexpected": ZeroDivisionError, "known": BitstreamError}[kind]("in the middle")

        return StreamingResponse(body())

    return app


def ask(app: FastAPI, use: Callable[[httpx.AsyncClient], Any]) -> Any:
    async def run() -> Any:
        transport = httpx.ASGITransport(app)
        async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
            return await use(client)

    return asyncio.run(run())


def get(app: FastAPI, path: str, **options: Any) -> httpx.Response:
    answer = ask(app, lambda client: client.get(path, **options))
    assert isinstance(answer, httpx.Response)
    return answer


@pytest.mark.parametrize("path", ["/health/live", "/nothing", "/number/x", "/broken"])
def test_every_answer_has_an_id(path: str) -> None:
    app = app_with_calls()
    first, second = get(app, path), get(app, path)
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    given = get(app, path, headers={"X-Request-ID": "trace-1/a"})
    assert given.headers["X-Request-ID"] == "trace-1/a"


@pytest.mark.parametrize("strange", ["", "x" * 129, "two words", "semi;colon", "a\tb"])
def test_strange_ids_are_not_taken(strange: str) -> None:
    answer = get(app_with_calls(), "/health/live", headers={"X-Request-ID": strange})
    assert answer.headers["X-Request-ID"] != strange
    assert len(answer.headers["X-Request-ID"]) == 32


def test_an_unexpected_error_is_a_problem_that_tells_nothing() -> None:
    answer = get(app_with_calls(), "/broken")
    assert answer.status_code == 500
    assert answer.headers["Content-Type"] == PROBLEM_JSON
    assert ProblemDocument.model_validate_json(answer.content).code == "internal_error"
    assert "secret" not in answer.text


def test_a_full_disk_is_a_problem_of_its_own() -> None:
    answer = get(app_with_calls(), "/full")
    assert answer.status_code == 507
    assert ProblemDocument.model_validate_json(answer.content).code == "insufficient_storage"
    assert "secret" not in answer.text


def test_wrong_parameters_are_named() -> None:
    answer = get(app_with_calls(), "/number/x")
    assert answer.status_code == 422
    assert answer.headers["Content-Type"] == PROBLEM_JSON
    problem = ProblemDocument.model_validate_json(answer.content)
    assert problem.code == "bad_parameter"
    assert problem.errors is not None
    assert [(e.name, e.location) for e in problem.errors] == [("n", "path")]
    assert problem.detail.startswith("n: ")


def test_no_such_path_and_no_such_method() -> None:
    app = app_with_calls()
    missing = get(app, "/number/")
    assert (missing.status_code, missing.json()["code"]) == (404, "not_found")
    assert missing.json()["detail"] == "GET /number/"
    wrong = ask(app, lambda client: client.delete("/models"))
    assert (wrong.status_code, wrong.json()["code"]) == (405, "method_not_allowed")
    assert wrong.headers["Content-Type"] == PROBLEM_JSON


@pytest.mark.parametrize(
    ("path", "allowed"),
    [
        *[(path, ["GET", "HEAD"]) for path in ("/models", "/metrics", "/health/live")],
        *[(path, ["GET", "HEAD"]) for path in ("/health/ready", "/openapi.json", "/docs")],
        *[(path, ["POST"]) for path in ("/compress", "/compress/upload", "/inspect")],
    ],
)
def test_a_refusal_names_every_method_that_works(path: str, allowed: list[str]) -> None:
    app = app_with_calls()
    for method in ("GET", "HEAD", "POST", "DELETE", "BREW"):
        answer = ask(app, partial(_request, method=method, path=path))
        assert (answer.status_code == 405) == (method not in allowed)
        assert answer.headers.get("Allow") == (None if method in allowed else ", ".join(allowed))


async def _request(client: httpx.AsyncClient, method: str, path: str) -> httpx.Response:
    return await client.request(method, path)


@pytest.mark.parametrize(
    ("kind", "raised"),
    [("unexpected", pytest.raises(ZeroDivisionError)), ("known", contextlib.nullcontext())],
)
def test_an_answer_that_breaks_off_is_not_ended(
    kind: str, raised: contextlib.AbstractContextManager[Any]
) -> None:
    app = app_with_calls()
    sent: list[dict[str, Any]] = []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(60)
        return {"type": "http.disconnect"}

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
        asyncio.run(app(scope, receive, send))
    assert [m.get("body") for m in sent if m["type"] == "http.response.body"] == [b"half"]
    assert 'encodec_responses_cut_off_total{route="/cut/{kind}"} 1.0' in get(app, "/metrics").text


def test_requests_are_counted_by_route_and_not_by_path() -> None:
    app = app_with_calls()
    for path in ("/number/1", "/number/2", "/a", "/b", "/gone", "/openapi.json"):
        ask(app, partial(_quietly, path=path))
    ask(app, lambda client: client.request("BREW", "/number/3"))
    said = get(app, "/metrics").text
    counted = 'encodec_requests_total{{method="{}",route="{}",status="{}"}} {}'
    assert counted.format("GET", "/number/{n}", 200, 2.0) in said
    assert counted.format("GET", "unmatched", 404, 2.0) in said
    assert counted.format("GET", "/gone", 499, 1.0) in said
    assert counted.format("other", "/number/{n}", 405, 1.0) in said
    assert counted.format("GET", "documentation", 200, 1.0) in said
    assert "encodec_requests_in_flight 1.0" in said
    assert 'encodec_model_ready{model="encodec_24khz"} 0.0' in said


def test_apps_do_not_share_their_metrics() -> None:
    one, other = app_with_calls(), app_with_calls()
    get(one, "/number/1")
    assert "/number/{n}" in get(one, "/metrics").text
    assert "/number/{n}" not in get(other, "/metrics").text


def test_openmetrics_for_those_who_ask() -> None:
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = get(app_with_calls(), "/metrics", headers=accept)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


@pytest.mark.parametrize(
    ("headers", "status"),
    [
        ({}, 401),
        ({"X-API-Key": "wrong"}, 401),
        ({"X-API-Key": "kéy".encode().decode("latin-1")}, 401),
        ({"Authorization": "Bearer wrong"}, 401),
        ({"Authorization": "Basic b25l"}, 401),
        ({"X-API-Key": "one"}, 200),
        ({"Authorization": "Bearer two"}, 200),
        ({"Authorization": "bearer one"}, 200),
        ({"X-API-Key": "wrong", "Authorization": "Bearer two"}, 200),
        ({"X-API-Key": "drï".encode().decode("latin-1")}, 200),
    ],
)
def test_keys(headers: dict[str, str], status: int) -> None:
    app = create_app(Settings.model_validate({"device": "cpu", "api_keys": "one, two, drï"}))
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = get(app, "/models", headers=raw)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["code"] == "unauthorized"
        assert answer.headers["WWW-Authenticate"] == "Bearer"
    for path in ("/health/live", "/metrics", "/openapi.json"):
        assert get(app, path).status_code == 200


async def _quietly(client: httpx.AsyncClient, path: str) -> None:
    """A call that may end without an answer."""
    try:
        await client.get(path)
    except AssertionError:  # httpx's word for an app that does not answer
        return
