"""Webhooks: signed, tried again, and told of what there is."""

import base64
import hashlib
import hmac
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from service.jobs.webhooks import signature
from tests.service.jobs.asked import asked, ended, seen
from tests.service.jobs.web import Web, web
from tests.service.live import live, wait_for
from tests.service.sounds import wav

KEY = bytes(range(32))


@pytest.fixture
def place() -> Iterator[Web]:
    with web() as serving:
        yield serving


@pytest.fixture
def client(weights: Path, tmp_path: Path, place: Web) -> Iterator[httpx.Client]:
    settings: dict[str, Any] = {
        "webhook_urls": f"{place.url}/",
        "webhook_secret": f"whsec_{base64.b64encode(KEY).decode()}",
        "webhook_retry": 0.05,
        "private_urls": True,
        "jobs_dir": tmp_path,
    }
    with live(weights, **settings) as running, running.client() as connected:
        yield connected


def verified(headers: dict[str, str], body: bytes) -> Any:
    """The event, if its signature is good (standardwebhooks.com)."""
    signed = f"{headers['webhook-id']}.{headers['webhook-timestamp']}.".encode() + body
    expected = base64.b64encode(hmac.new(KEY, signed, hashlib.sha256).digest()).decode()
    assert headers["webhook-signature"] == f"v1,{expected}"
    return json.loads(body)


def test_the_signature_of_the_specification() -> None:
    """The example in the text of Standard Webhooks."""
    secret = "whsec_MfKQ9r8GKYqrTwjUPD8ILPZIo2LaLaSw"
    body = b'{"test": 2432232314}'
    id, sent = "msg_p5jXN8AQM9LWM0D4loKWxJek", 1614265330
    assert signature(secret, id, sent, body) == "v1,g0hM9SsE+OTPJTGt/tmIKtSyZlE3uFJELVlNIOLJ1OE="


def test_a_webhook_is_told_until_it_answers_well(client: httpx.Client, place: Web) -> None:
    place.answers += [500, 302, 503]
    job = ended(client, asked(client, "/compress", wav(0.3), webhook=f"{place.url}/a?b=c"))
    wait_for(lambda: seen(client, job)["webhook"] == "delivered")
    assert len(place.told) == 4
    events = [verified(headers, body) for headers, body in place.told]
    assert len({headers["webhook-id"] for headers, _ in place.told}) == 1
    event = events[-1]
    assert event["type"] == "job.done"
    assert event["timestamp"] == job["finished"]
    assert event["data"] == job | {"webhook": "pending"}


def test_failures_are_told_too(client: httpx.Client, place: Web) -> None:
    job = ended(client, asked(client, "/compress", b"x", webhook=f"{place.url}/"), "failed")
    wait_for(lambda: seen(client, job)["webhook"] == "delivered")
    event = verified(*place.told[0])
    assert event["type"] == "job.failed"
    assert event["data"]["problem"]["code"] == "undecodable_audio"


def test_who_is_gone_is_not_told_again(client: httpx.Client, place: Web) -> None:
    place.answers += [410]
    job = ended(client, asked(client, "/compress", wav(0.3), webhook=f"{place.url}/"))
    wait_for(lambda: seen(client, job)["webhook"] == "failed")
    assert len(place.told) == 1
