"""API keys: which calls need one, and what counts as one."""

import pytest
from fastapi import FastAPI

from service.app import create_app
from service.settings import Settings
from tests.service.in_process import get


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return create_app(Settings.model_validate({"device": "cpu", "api_keys": "one, two, drï"}))


@pytest.mark.anyio
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
async def test_calls_need_a_key_and_operations_do_not(
    app: FastAPI, headers: dict[str, str], status: int
) -> None:
    raw = {name: value.encode("latin-1") for name, value in headers.items()}
    answer = await get(app, "/models", headers=raw)
    assert answer.status_code == status
    if status == 401:
        assert answer.json()["code"] == "unauthorized"
        wrong = "X-API-Key" in headers or headers.get("Authorization") == "Bearer wrong"
        told = 'Bearer error="invalid_token"' if wrong else "Bearer"
        assert answer.headers["WWW-Authenticate"] == told
    for path in ("/health/live", "/metrics", "/openapi.json"):
        assert (await get(app, path)).status_code == 200
