"""A job: a call that was asked for with `Prefer: respond-async`, and what has become of it."""

from dataclasses import dataclass
from datetime import UTC, datetime
from enum import StrEnum
from typing import Any

from ..settings import Settings


class State(StrEnum):
    """What becomes of a job."""

    RECEIVING = "receiving"
    """Its upload is not all there; only its client knows of it."""
    QUEUED = "queued"
    RUNNING = "running"
    DONE = "done"
    FAILED = "failed"
    CANCELLED = "cancelled"


_LATEST = 253_402_300_799.0  # s since 1970, at the end of 9999

FINISHED = (State.DONE, State.FAILED, State.CANCELLED)


@dataclass(frozen=True)
class Order:
    """What was asked for, and by whom."""

    owner: str
    """Of which API key it is; empty where there are none."""
    path: str
    """`/compress`."""
    query: str
    """Without the parameters that are the job's."""
    accept: str
    source: str | None = None
    """Where the input is fetched, if it is not uploaded."""
    destination: str | None = None
    """Where the result is put too."""
    webhook: str | None = None
    idempotency_key: str | None = None


@dataclass(frozen=True)
class Input:
    """The file that was received, as its client called it."""

    content_type: str
    filename: str | None
    declared: int | None
    """Bytes, where the client said so before it sent them."""
    size: int
    digest: str
    """SHA-256, or what stands for it where the input is fetched later."""


@dataclass(frozen=True)
class Progress:
    """How far a job is."""

    seconds: float = 0.0
    """Of audio."""
    share: float | None = None
    """0 to 1; None where it cannot be told."""


@dataclass(frozen=True)
class Job:
    """One row of the store. Times are seconds since 1970."""

    id: str
    order: Order
    input: Input | None
    """None until it is there."""
    state: State
    attempt: int
    """How often it was begun; what an earlier attempt says no longer counts."""
    tries: int
    """How often it was begun and was neither finished nor put back in good order."""
    created: float
    started: float | None
    finished: float | None
    expires: float | None
    progress: Progress
    result_bytes: int
    headers: dict[str, str] | None
    """Of the result."""
    etag: str | None
    problem: dict[str, Any] | None
    webhook_state: str | None
    """`pending`, `delivered` or `failed`."""
    webhook_tries: int
    webhook_due: float | None


def document(job: Job) -> dict[str, Any]:
    """The job as its client and its webhook see it."""
    links = {"self": f"/jobs/{job.id}"}
    if job.state is State.DONE:
        links["result"] = f"/jobs/{job.id}/result"
    return {
        "id": job.id,
        "call": job.order.path.removeprefix("/"),
        "state": job.state.value,
        "progress": {
            "seconds": round(job.progress.seconds, 3),
            "share": None if job.progress.share is None else round(job.progress.share, 4),
        },
        "created": timestamp(job.created),
        "started": timestamp(job.started),
        "finished": timestamp(job.finished),
        "expires": timestamp(job.expires),
        "input_bytes": job.input.size if job.input and job.order.source is None else None,
        "result_bytes": job.result_bytes if job.state is State.DONE else None,
        "destination": job.order.destination,
        "webhook": job.webhook_state,
        "problem": job.problem,
        "links": links,
    }


def timestamp(seconds: float | None) -> str | None:
    """In RFC 3339, which knows no later year than 9999."""
    if seconds is None:
        return None
    found = datetime.fromtimestamp(min(seconds, _LATEST), UTC)
    return found.isoformat(timespec="milliseconds")


def running_at_once(settings: Settings) -> int:
    """Jobs that run at the same time: never on all of the permits, unless there is only one."""
    return min(settings.max_running_jobs, max(1, settings.max_requests - 1))
