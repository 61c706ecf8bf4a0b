"""What does not change is not sent again, and in parts where a client asks for one."""

import asyncio
import random
from pathlib import Path
from typing import Any

import httpx
import pytest
from fastapi import FastAPI, Request

from service.http.conditional import whole_or_part
from tests.service.in_process import app_with_calls, get, request

PATHS = ["/openapi.json", "/models"]

pytestmark = pytest.mark.anyio


@pytest.fixture(scope="module")
def app() -> FastAPI:
    return app_with_calls()


async def sent(app: FastAPI, method: str, path: str, **headers: Any) -> httpx.Response:
    given = {name.replace("_", "-"): value for name, value in headers.items()}
    return await request(app, method, path, headers=given)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("method", ["GET", "HEAD"])
async def test_what_a_client_has_is_a_304(app: FastAPI, method: str, path: str) -> None:
    first = await sent(app, method, path)
    etag = first.headers["etag"]
    assert (first.status_code, first.headers["cache-control"]) == (200, "no-cache")
    for field in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = await sent(app, method, path, if_none_match=field)
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["etag"] == etag
        assert again.headers["x-request-id"]
    other = await sent(app, method, path, if_none_match='"other"')
    assert (other.status_code, other.content) == (200, first.content)


async def test_the_tag_is_that_of_the_contents(app: FastAPI) -> None:
    for path in PATHS:
        assert (await get(app, path)).headers["etag"] == (await get(app, path)).headers["etag"]
    other = app_with_calls(models="encodec_48khz")
    assert (await get(app, "/models")).headers["etag"] != (await get(other, "/models")).headers[
        "etag"
    ]


@pytest.mark.parametrize("path", PATHS)
async def test_a_part(app: FastAPI, path: str) -> None:
    whole = await get(app, path)
    data, etag = whole.content, whole.headers["etag"]
    assert whole.headers["accept-ranges"] == "bytes"
    for wanted, first, last in (
        ("bytes=0-9", 0, 9),
        ("bytes=100-", 100, len(data) - 1),
        ("bytes=-7", len(data) - 7, len(data) - 1),
        ("bytes=5-99999999", 5, len(data) - 1),
        ("bytes=-99999999", 0, len(data) - 1),
    ):
        for condition in ({}, {"if_range": etag}):
            part = await sent(app, "GET", path, range=wanted, **condition)
            assert part.status_code == 206
            assert part.content == data[first : last + 1]
            assert part.headers["content-range"] == f"bytes {first}-{last}/{len(data)}"
            assert part.headers["content-type"] == whole.headers["content-type"]
            assert part.headers["etag"] == etag


@pytest.mark.parametrize(
    "headers",
    [
        {"range": "bytes=9-3"},
        {"range": "bytes=0-1,5-6"},
        {"range": "bytes=-"},
        {"range": "lines=0-1"},
        {"range": "bytes=0-9", "if_range": '"other"'},
        {"range": "bytes=0-9", "if_range": "Sat, 28 Nov 2026 12:00:00 GMT"},
    ],
)
async def test_a_range_that_does_not_fit_gives_the_whole(
    app: FastAPI, headers: dict[str, str]
) -> None:
    whole = await get(app, "/openapi.json")
    answer = await sent(app, "GET", "/openapi.json", **headers)
    assert (answer.status_code, answer.content) == (200, whole.content)


@pytest.mark.parametrize("path", PATHS)
@pytest.mark.parametrize("wanted", ["bytes=-0", "bytes={size}-", "bytes=99999999-999999999"])
async def test_a_range_behind_the_end_is_a_416(app: FastAPI, path: str, wanted: str) -> None:
    whole = await get(app, path)
    size = len(whole.content)
    answer = await sent(app, "GET", path, range=wanted.format(size=size))
    assert (answer.status_code, answer.json()["code"]) == (416, "range_not_satisfiable")
    assert answer.headers["content-range"] == f"bytes */{size}"
    head = await sent(app, "HEAD", path, range=wanted.format(size=size))
    assert (head.status_code, head.headers["content-length"]) == (200, str(size))


async def test_a_large_body_is_sent_in_pieces() -> None:
    """A client that reads slowly does not have all of it in memory."""
    data = random.Random(0).randbytes(1 << 20)
    sizes: list[int] = []

    async def send(message: Any) -> None:
        if message["type"] == "http.response.body":
            sizes.append(len(message["body"]))

    async def receive() -> Any:
        await asyncio.Future()

    scope = {"type": "http", "method": "GET", "headers": [(b"range", b"bytes=5-")]}
    answer = whole_or_part(Request(scope), data, {"ETag": '"x"'}, "application/octet-stream")
    await answer(scope, receive, send)
    assert sum(sizes) == len(data) - 5 == int(answer.headers["content-length"])
    assert max(sizes) == 1 << 18


async def test_the_document_is_the_committed_one(app: FastAPI) -> None:
    """What is served with a tag is still the whole document."""
    document = (await get(app, "/openapi.json")).json()
    committed = Path(__file__).parents[3] / "openapi.json"
    assert set(document["paths"]) >= {"/compress", "/models"}
    assert document["openapi"] in committed.read_text()
