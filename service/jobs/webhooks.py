"""Telling a client's server that its job has ended, signed (standardwebhooks.com)."""

import asyncio
import base64
import hashlib
import hmac
import json
import random
import time
from collections import Counter

import httpx
import structlog

from ..http.problems import Problem
from ..settings import Settings
from .job import Job, document, timestamp
from .store import Store
from .urls import AllowedUrls, checked_client

logger = structlog.get_logger(__name__)

AT_ONCE = 8
"""Told at the same time; of one owner at most half, whose receivers may be slow."""
_IDLE = 1.0  # s between two looks whether there are any
_TIMEOUT = 20.0  # s for the answer
_LEASE = 60.0  # s that one try may take
_TRIES = 8  # with five seconds at first, the last is eight hours after the end
_GONE = 410


class Webhooks:
    """Those of one replica."""

    def __init__(self, store: Store, settings: Settings):
        self._store = store
        self._settings = settings
        self._telling: Counter[str] = Counter()  # by owner
        self._taking = asyncio.Lock()

    async def tell(self) -> None:
        """One of them, or wait for a while where none is due."""
        async with self._taking:
            busy = [owner for owner, count in self._telling.items() if count >= AT_ONCE // 2]
            job = await self._store.call(self._store.take_webhook, _LEASE, busy)
            if job is not None:
                self._telling[job.order.owner] += 1
        if job is None:
            await asyncio.sleep(_IDLE)
            return
        try:
            state, after = await deliver(job, self._settings)
        finally:
            self._telling[job.order.owner] -= 1
        await self._store.insist(self._store.webhook_tried, job, state, after)


def signature(secret: str, id: str, sent: int, body: bytes) -> str:
    """The header `webhook-signature`: of the id, the time (s since 1970) and the body."""
    key = base64.b64decode(secret.removeprefix("whsec_"))
    digest = hmac.digest(key, f"{id}.{sent}.".encode() + body, hashlib.sha256)
    return "v1," + base64.b64encode(digest).decode()


async def deliver(job: Job, settings: Settings) -> tuple[str, float]:
    """Tell the webhook of a job that has ended; returns the state of the webhook, and where it is
    `pending` in how many seconds to try again."""
    url, secret = job.order.webhook, settings.webhook_secret
    if url is None or secret is None:
        return "failed", 0.0
    event = {
        "type": f"job.{job.state}",
        "timestamp": timestamp(job.finished),
        "data": document(job),
    }
    body = json.dumps(event, ensure_ascii=False).encode()
    id, sent = f"msg_{job.id}", int(time.time())
    headers = {
        "Content-Type": "application/json",
        "webhook-id": id,
        "webhook-timestamp": str(sent),
        "webhook-signature": signature(secret.get_secret_value(), id, sent, body),
    }
    allowed = AllowedUrls(settings.webhook_urls)
    reason: object
    try:
        async with (
            asyncio.timeout(_LEASE / 2),
            checked_client(allowed, settings.private_urls, _TIMEOUT, False) as client,
            client.stream("POST", url, content=body, headers=headers) as answer,
        ):
            reason = answer.status_code
            if answer.is_success:
                return "delivered", 0.0
            given_up = answer.status_code == _GONE
    except (httpx.HTTPError, httpx.InvalidURL, UnicodeError, TimeoutError, Problem) as error:
        reason, given_up = type(error).__name__, False
    given_up = given_up or job.webhook_tries + 1 >= _TRIES
    logger.warning("a webhook failed", job=job.id, reason=reason, given_up=given_up)
    wait = settings.webhook_retry * 4**job.webhook_tries
    return ("failed" if given_up else "pending"), wait * random.uniform(1.0, 1.2)
