"""Liveness, readiness and metrics, through an app's life: starting, ready, after a failure."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from structlog.testing import capture_logs

from model_core.codec import Work
from model_core.codec.work import Task
from service.app import create_app
from service.http.problems import PROBLEM_JSON
from service.inference.scheduler import SchedulerError
from service.settings import Settings
from tests.service.in_process import app_with_calls, get, wait_for_answer

pytestmark = pytest.mark.anyio


def die(items: list[Any]) -> list[Any]:
    raise SystemExit("as a worker should not")


async def test_readiness_follows_models_and_workers(weights: Path) -> None:
    fatal = asyncio.Event()
    ready: list[bool] = []  # after both models, once
    settings = Settings(device="cpu", weights=str(weights), threads=1)
    app = create_app(settings, fatal.set, lambda: ready.append(app.state.models.state == "ready"))
    before = await get(app, "/health/ready")
    assert (before.status_code, before.json()["code"]) == (503, "starting")
    assert before.headers["Content-Type"] == PROBLEM_JSON
    assert "Retry-After" in before.headers
    async with app.router.lifespan_context(app):
        await wait_for_answer(app, "/health/ready", lambda answer: answer.status_code == 200)
        assert ready == [True]
        task = Task("encode", "encodec_24khz", 1, lambda items, _: die(items))
        with pytest.raises(SchedulerError):
            await app.state.scheduler.submit(Work(task, None, 1.0))
        await asyncio.wait_for(fatal.wait(), 20)
        dead = await get(app, "/health/ready")
        assert (dead.status_code, dead.json()["code"]) == (503, "unavailable")
        assert (await get(app, "/health/live")).status_code == 200


async def test_a_service_without_weights_is_alive_but_never_ready(tmp_path: Path) -> None:
    fatal = asyncio.Event()
    app = create_app(Settings(device="cpu", weights=str(tmp_path)), fatal.set)
    async with app.router.lifespan_context(app):
        await asyncio.wait_for(fatal.wait(), 60)
        answer = await get(app, "/health/ready")
        assert (answer.status_code, answer.json()["code"]) == (503, "unavailable")
        assert (await get(app, "/health/live")).status_code == 200
        listed = (await get(app, "/models")).json()["models"]
        assert [m["state"] for m in listed] == ["failed", "failed"]


async def test_metrics_are_openmetrics_where_the_client_asks_for_it() -> None:
    app = app_with_calls()
    plain = await get(app, "/metrics")
    assert plain.headers["Content-Type"].startswith("text/plain")
    accept = {"Accept": "application/openmetrics-text; version=1.0.0"}
    answer = await get(app, "/metrics", headers=accept)
    assert answer.headers["Content-Type"].startswith("application/openmetrics-text")
    assert answer.text.endswith("# EOF\n")


async def test_what_makes_a_ready_service_unready_is_logged_once(
    weights: Path, tmp_path: Path
) -> None:
    spool = tmp_path / "spool"
    spool.mkdir()
    settings = Settings(device="cpu", weights=str(weights), threads=1, spool_dir=spool)
    app = create_app(settings)
    async with app.router.lifespan_context(app):
        await wait_for_answer(app, "/health/ready", lambda answer: answer.status_code == 200)
        assert "encodec_ready 1.0" in (await get(app, "/metrics")).text
        with capture_logs() as logged:
            spool.rename(tmp_path / "gone")
            for _ in range(3):
                assert (await get(app, "/health/ready")).status_code == 503
            assert "encodec_ready 0.0" in (await get(app, "/metrics")).text
            app.state.leaving = True
            assert (await get(app, "/health/ready")).json()["code"] == "shutting_down"
            app.state.leaving = False
            (tmp_path / "gone").rename(spool)
            for _ in range(2):
                assert (await get(app, "/health/ready")).status_code == 200
    told = [line for line in logged if line["log_level"] == "warning"]
    assert [line["event"] for line in told] == ["not ready", "ready again"]
    assert told[0]["reason"] == told[1]["after"]
    assert told[0]["reason"].startswith("the disk for uploads cannot be written")
