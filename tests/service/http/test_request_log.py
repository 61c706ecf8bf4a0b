"""What surrounds every call: request ids, the count of requests, log lines."""

from typing import Any

import pytest
from fastapi import FastAPI
from structlog.testing import capture_logs

from tests.service.in_process import app_with_calls, get, request


@pytest.mark.anyio
@pytest.mark.parametrize("path", ["/health/live", "/nothing", "/number/x", "/broken"])
async def test_every_answer_carries_a_request_id_the_clients_if_it_gives_one(path: str) -> None:
    app = app_with_calls()
    first, second = await get(app, path), await get(app, path)
    assert first.headers["X-Request-ID"] != second.headers["X-Request-ID"]
    given = await get(app, path, headers={"X-Request-ID": "trace-1/a"})
    assert given.headers["X-Request-ID"] == "trace-1/a"


@pytest.mark.anyio
@pytest.mark.parametrize("strange", ["", "x" * 129, "two words", "semi;colon", "a\tb"])
async def test_request_ids_that_are_long_or_not_plain_are_replaced(strange: str) -> None:
    answer = await get(app_with_calls(), "/health/live", headers={"X-Request-ID": strange})
    assert answer.headers["X-Request-ID"] != strange
    assert len(answer.headers["X-Request-ID"]) == 32


@pytest.mark.anyio
async def test_requests_are_counted_by_route_not_by_path() -> None:
    app = app_with_calls()
    for path in ("/number/1", "/number/2", "/a", "/b", "/gone", "/openapi.json"):
        await _get_or_nothing(app, path)
    await request(app, "BREW", "/number/3")
    metrics = (await get(app, "/metrics")).text
    counted = 'encodec_requests_total{{method="{}",route="{}",status="{}"}} {}'
    assert counted.format("GET", "/number/{n}", 200, 2.0) in metrics
    assert counted.format("GET", "unmatched", 404, 2.0) in metrics
    assert counted.format("GET", "/gone", 499, 1.0) in metrics
    assert counted.format("other", "/number/{n}", 405, 1.0) in metrics
    assert counted.format("GET", "documentation", 200, 1.0) in metrics
    assert "encodec_requests_in_flight 1.0" in metrics
    assert 'encodec_model_ready{model="encodec_24khz"} 0.0' in metrics


async def _get_or_nothing(app: FastAPI, path: str) -> None:
    """A GET that may end without an answer."""
    try:
        await get(app, path)
    except AssertionError:  # what httpx raises then
        return


@pytest.mark.anyio
async def test_a_request_is_one_log_line() -> None:
    with capture_logs() as logged:
        await get(app_with_calls(), "/number/7")
    lines: list[Any] = [line for line in logged if line["event"] == "request"]
    assert len(lines) == 1
    assert lines[0].pop("ms") >= 0
    assert lines[0] == {
        "event": "request",
        "log_level": "info",
        "method": "GET",
        "path": "/number/7",
        "status": 200,
        "bytes_in": 0,
        "bytes_out": 1,
        "complete": True,
        "client": "127.0.0.1",
        "model": "encodec_24khz",
    }


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("path", "code", "detail"),
    [
        ("/number/x", "bad_parameter", "n: Input should be a valid integer"),
        ("/nowhere", "not_found", "GET /nowhere"),
        ("/jobs", "not_found", "this service keeps no jobs"),
    ],
)
async def test_the_line_of_a_refused_request_says_whose_it_was_and_why(
    path: str, code: str, detail: str
) -> None:
    with capture_logs() as logged:
        answer = await get(app_with_calls(), path)
    line: Any = next(line for line in logged if line["event"] == "request")
    assert (line["status"], line["problem"]) == (answer.status_code, code)
    assert line["detail"].startswith(detail)
    assert answer.json()["detail"] == line["detail"]
    assert line["client"] == "127.0.0.1"
