"""Cross-origin calls: off by default, and for the origins that are named."""

from typing import Any

import pytest

from service.http.cors import EXPOSED
from service.http.request_stats import REQUEST_ID
from tests.service.in_process import app_with_calls, get, request

ORIGIN = "https://example.org"


def preflight(origin: str) -> dict[str, Any]:
    return {
        "Origin": origin,
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }


@pytest.mark.anyio
async def test_other_origins_may_not_call_by_default() -> None:
    app = app_with_calls()
    answer = await get(app, "/health/live", headers={"Origin": ORIGIN})
    assert "Access-Control-Allow-Origin" not in answer.headers
    assert (
        await request(app, "OPTIONS", "/compress", headers=preflight(ORIGIN))
    ).status_code == 405


@pytest.mark.anyio
async def test_an_origin_that_is_named_may_call_and_read_our_headers() -> None:
    app = app_with_calls(cors_origins=f"{ORIGIN}, http://localhost:3000")
    allowed = await request(app, "OPTIONS", "/compress", headers=preflight(ORIGIN))
    assert allowed.status_code == 200
    assert allowed.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert "POST" in allowed.headers["Access-Control-Allow-Methods"]
    assert "authorization" in allowed.headers["Access-Control-Allow-Headers"].lower()
    answer = await get(app, "/health/live", headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
    assert set(answer.headers["Access-Control-Expose-Headers"].split(", ")) == set(EXPOSED)
    assert answer.headers["Vary"] == "Origin"
    assert "Access-Control-Allow-Credentials" not in answer.headers


@pytest.mark.anyio
async def test_problems_can_be_read_too() -> None:
    app = app_with_calls(cors_origins=ORIGIN, api_keys="secret")
    for path in ("/models", "/nothing", "/broken"):
        answer = await get(app, path, headers={"Origin": ORIGIN})
        assert answer.status_code >= 400
        assert answer.headers["Access-Control-Allow-Origin"] == ORIGIN
        assert REQUEST_ID in answer.headers["Access-Control-Expose-Headers"]


@pytest.mark.anyio
async def test_another_origin_may_not() -> None:
    app = app_with_calls(cors_origins=ORIGIN)
    other = "https://example.com"
    refused = await request(app, "OPTIONS", "/compress", headers=preflight(other))
    assert refused.status_code == 400
    assert refused.headers["Content-Type"] == "application/problem+json"
    assert refused.json()["code"] == "bad_request"
    assert refused.json()["detail"] == "Disallowed CORS origin"
    assert "Access-Control-Allow-Origin" not in refused.headers
    answer = await get(app, "/health/live", headers={"Origin": other})
    assert "Access-Control-Allow-Origin" not in answer.headers


@pytest.mark.anyio
async def test_a_star_is_for_all_origins() -> None:
    answer = await get(app_with_calls(cors_origins="*"), "/models", headers={"Origin": ORIGIN})
    assert answer.headers["Access-Control-Allow-Origin"] == "*"


def test_headers_of_every_answer_are_exposed() -> None:
    """What the OpenAPI document says that answers carry, scripts can read."""
    document = app_with_calls().openapi()
    named = {
        name
        for path in document["paths"].values()
        for operation in path.values()
        for response in operation["responses"].values()
        for name in response["headers"]
    }
    assert named - {"Vary", "WWW-Authenticate"} <= set(EXPOSED)
