"""Jobs that tests ask for, and wait for."""

import time
from pathlib import Path
from typing import Any

import httpx

ASYNC = {"prefer": "respond-async"}
Document = dict[str, Any]
_PATIENCE = 100  # s


def asked(
    client: httpx.Client, call: str, content: bytes = b"", headers: Any = None, **params: Any
) -> Document:
    """The job that a call is answered with."""
    headers = ASYNC | (headers or {})
    answer = client.post(call, content=content, params=params, headers=headers)
    assert answer.status_code == 202, answer.text
    assert answer.headers["preference-applied"] == "respond-async"
    job: Document = answer.json()
    assert answer.headers["location"] == job["links"]["self"] == f"/jobs/{job['id']}"
    return job


def seen(client: httpx.Client, job: Document, **headers: str) -> Document:
    """The job as it is now."""
    answer = client.get(job["links"]["self"], headers=headers)
    assert answer.status_code == 200, answer.text
    found: Document = answer.json()
    return found


def ended(client: httpx.Client, job: Document, state: str = "done", **headers: str) -> Document:
    """The job, once it has ended, in this state."""
    return reached(client, job, ("done", "failed", "cancelled"), state, **headers)


def reached(
    client: httpx.Client, job: Document, states: tuple[str, ...], state: str, **headers: str
) -> Document:
    """The job, once it is in one of `states`, which must be `state`."""
    deadline = time.monotonic() + _PATIENCE
    while (found := seen(client, job, **headers))["state"] not in states:
        assert time.monotonic() < deadline, found
        time.sleep(0.1)
    assert found["state"] == state, found
    return found


def result(client: httpx.Client, job: Document, **headers: str) -> httpx.Response:
    """The answer that a job which is done has made."""
    answer = client.get(f"{job['links']['self']}/result", headers=headers)
    assert answer.status_code in (200, 206), answer.text
    return answer


def files_in(folder: Path) -> list[str]:
    """The files of jobs that are there."""
    files = folder / "files"
    return sorted(str(path.relative_to(files)) for path in files.rglob("*") if path.is_file())


def folders_in(folder: Path) -> list[str]:
    """The jobs that have a folder."""
    return sorted(path.name for path in (folder / "files").iterdir())
