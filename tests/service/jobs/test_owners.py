"""Jobs of API keys that have limits, and of keys that are gone: the real server."""

import re
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.jobs.webhooks import AT_ONCE
from tests.service.jobs.asked import ASYNC, asked, ended, result, seen
from tests.service.jobs.web import web
from tests.service.live import live, wait_for
from tests.service.sounds import encoded, wav

KEYS = """
[limited]
secret = "l"
audio_seconds_per_minute = 60
[other]
secret = "o"
"""
LIMITED, OTHER = {"x-api-key": "l"}, {"x-api-key": "o"}


def refusals(client: httpx.Client, key: str) -> float:
    """Requests of a key that were, by its limits."""
    found = re.findall(
        rf'^encodec_key_refused_total{{key="{key}".*}} (\S+)$', client.get("/metrics").text, re.M
    )
    return sum(map(float, found))


@pytest.fixture
def keys_file(tmp_path: Path) -> str:
    file = tmp_path / "keys.toml"
    file.write_text(KEYS)
    return str(file)


def test_jobs_wait_for_a_quota_without_asking_again_and_again(
    weights: Path, tmp_path: Path, keys_file: str
) -> None:
    with web() as place:
        # whose length is not known before it is decoded
        place.files = {"/in/long": encoded("ogg", 68.0, channels=1), "/in/short": wav(0.1)}
        settings: dict[str, Any] = {
            "api_keys_file": keys_file,
            "max_requests": 1,
            "input_urls": f"{place.url}/in/",
        }
        with (
            live(weights, jobs_dir=tmp_path / "jobs", private_urls=True, **settings) as running,
            running.client() as client,
        ):
            with running.permit_held():
                sources = [f"{place.url}/in/{name}" for name in ("long", *["short"] * 20)]
                long, *jobs = [
                    asked(client, "/compress", headers=LIMITED, source=url) for url in sources
                ]
            ended(client, long, **LIMITED)  # that takes more than there is
            answer = client.post(
                "/compress", params={"source": sources[1]}, headers=ASYNC | LIMITED
            )
            assert answer.status_code == 429
            wait_for(lambda: refusals(client, "limited") > 0)
            ended(client, asked(client, "/compress", wav(0.1), OTHER), **OTHER)
            assert {seen(client, job, **LIMITED)["state"] for job in jobs} <= {"queued", "running"}
            for job in jobs[:3]:
                ended(client, job, **LIMITED)
            assert refusals(client, "limited") <= 10
            # what was fetched before the refusal is not fetched again
            started = [seen(client, job, **LIMITED)["started"] for job in jobs]
            assert place.asked.count("/in/short") <= sum(at is not None for at in started)


def test_jobs_of_a_key_that_is_gone_fail(weights: Path, tmp_path: Path) -> None:
    file, jobs_dir = tmp_path / "keys.toml", tmp_path / "jobs"
    file.write_text(KEYS)
    with (
        live(weights, jobs_dir=jobs_dir, api_keys_file=str(file)) as running,
        running.client() as client,
    ):
        done = asked(client, "/compress", wav(0.1), LIMITED)
        ended(client, done, **LIMITED)
        assert "ratelimit" in result(client, done, **LIMITED).headers
        long = {"effort": 3, "lm": True, "format": 1}
        waiting = asked(client, "/compress", wav(60), OTHER, **long)
        wait_for(lambda: seen(client, waiting, **OTHER)["state"] == "running")
    file.write_text('[limited]\nsecret = "l"\n')
    with (
        live(weights, jobs_dir=jobs_dir, api_keys_file=str(file)) as running,
        running.client() as client,
    ):
        headers = result(client, done, **LIMITED).headers
        assert not [name for name in headers if name.startswith("ratelimit")]
        store = running.app.state.jobs._store

        def problem() -> dict[str, object] | None:
            found = store.get(waiting["id"])
            assert found is not None
            return found.problem

        wait_for(problem, 60, every=0.2)  # it takes some twenty seconds
        assert (problem() or {})["code"] == "unauthorized"
        refused = client.post("/compress", content=wav(0.1), headers=ASYNC | OTHER)
        assert refused.status_code == 401


@pytest.mark.parametrize("limits", [{"max_jobs": 10}, {"max_job_bytes": 10 * len(wav(1))}])
def test_one_key_does_not_take_all_that_may_be_kept(
    weights: Path, tmp_path: Path, limits: dict[str, int]
) -> None:
    settings: dict[str, Any] = {"api_keys": "l,o", "max_requests": 1, **limits}
    with (
        live(weights, jobs_dir=tmp_path, **settings) as running,
        running.client() as client,
        running.permit_held(),  # inputs are kept until their jobs have ended
    ):

        def ask(headers: dict[str, str]) -> int:
            return client.post("/compress", content=wav(1), headers=ASYNC | headers).status_code

        most = 8 if "max_jobs" in limits else 7  # with an eighth it would have four fifths exactly
        assert [ask(LIMITED) for _ in range(10)] == [202] * most + [429] * (10 - most)
        assert ask(OTHER) == 202


def test_a_slow_receiver_does_not_keep_the_webhooks_of_other_keys_waiting(
    weights: Path, tmp_path: Path, keys_file: str
) -> None:
    with web() as place:
        settings: dict[str, Any] = {
            "api_keys_file": keys_file,
            "webhook_urls": f"{place.url}/",
            "webhook_secret": "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw",
        }
        with (
            live(weights, jobs_dir=tmp_path / "jobs", private_urls=True, **settings) as running,
            running.client() as client,
        ):
            hang = f"{place.url}/hang"
            for _ in range(AT_ONCE + 2):
                asked(client, "/compress", wav(0.1), LIMITED, webhook=hang)
            wait_for(lambda: len(place.told) == AT_ONCE // 2)
            job = asked(client, "/compress", wav(0.1), OTHER, webhook=f"{place.url}/")
            wait_for(lambda: seen(client, job, **OTHER)["webhook"] == "delivered")
            assert len(place.told) == AT_ONCE // 2 + 1
            place.released.set()
            wait_for(lambda: len(place.told) == AT_ONCE + 3)
