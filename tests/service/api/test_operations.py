"""Readiness through an app's life: starting, ready, and after a worker has died."""

import asyncio
from pathlib import Path
from typing import Any

import httpx
import pytest

from model_core.codec import Work
from model_core.codec.work import FunctionTask
from service.app import create_app
from service.http.problems import PROBLEM_JSON
from service.inference.scheduler import SchedulerError
from service.settings import Settings

pytestmark = pytest.mark.anyio


def die(items: list[Any]) -> list[Any]:
    raise SystemExit("as a worker should not")


async def test_readiness_follows_models_and_workers(weights: Path) -> None:
    fatal = asyncio.Event()
    app = create_app(Settings(device="cpu", weights=str(weights), threads=1), fatal.set)
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        before = await client.get("/health/ready")
        assert (before.status_code, before.json()["code"]) == (503, "starting")
        assert before.headers["Content-Type"] == PROBLEM_JSON
        assert "Retry-After" in before.headers
        async with app.router.lifespan_context(app):
            for _ in range(1200):
                if (await client.get("/health/ready")).status_code == 200:
                    break
                await asyncio.sleep(0.05)
            task = FunctionTask("encode", "encodec_24khz", 1, lambda items, _: die(items))
            with pytest.raises(SchedulerError):
                await app.state.scheduler.submit(Work(task, None, 1.0))
            await asyncio.wait_for(fatal.wait(), 20)
            dead = await client.get("/health/ready")
            assert (dead.status_code, dead.json()["code"]) == (503, "unavailable")
            assert (await client.get("/health/live")).status_code == 200


async def test_a_service_without_weights_is_alive_but_never_ready(tmp_path: Path) -> None:
    fatal = asyncio.Event()
    app = create_app(Settings(device="cpu", weights=str(tmp_path)), fatal.set)
    transport = httpx.ASGITransport(app)
    async with (
        httpx.AsyncClient(transport=transport, base_url="http://service") as client,
        app.router.lifespan_context(app),
    ):
        await asyncio.wait_for(fatal.wait(), 60)
        answer = await client.get("/health/ready")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await client.get("/health/live")).status_code == 200
        listed = (await client.get("/models")).json()["models"]
        assert [m["state"] for m in listed] == ["failed", "failed"]
