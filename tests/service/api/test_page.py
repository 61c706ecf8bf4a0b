"""The page and its files: headers, caching, compression, HEAD, and switching it off."""

import gzip
import re

import httpx
import pytest

from service.api.page import CONTENT_SECURITY_POLICY
from tests.service.in_process import app_with_calls, get, request


def files_of(html: str) -> list[str]:
    """What the page loads, as it names it."""
    found = re.findall(r'(?:src|href)="(web/[^"]+)"', html)
    assert len(found) >= 3
    return found


@pytest.mark.anyio
async def test_the_page_is_served_with_a_strict_policy() -> None:
    answer = await get(app_with_calls(), "/")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "text/html; charset=utf-8"
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe-inline" not in CONTENT_SECURITY_POLICY
    assert "'unsafe-eval'" not in CONTENT_SECURITY_POLICY
    assert answer.headers["X-Content-Type-Options"] == "nosniff"
    assert answer.headers["Referrer-Policy"] == "no-referrer"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["X-Request-ID"]


@pytest.mark.anyio
async def test_the_page_has_no_inline_scripts_or_styles() -> None:
    html = (await get(app_with_calls(), "/")).text
    assert not re.search(r"<style|\sstyle=|\son\w+=|<script(?![^>]*\ssrc=)", html)


@pytest.mark.anyio
async def test_its_files_may_be_kept_forever() -> None:
    app = app_with_calls()
    for name in files_of((await get(app, "/")).text):
        answer = await get(app, f"/{name}")
        assert answer.status_code == 200
        assert "immutable" in answer.headers["Cache-Control"]
        assert answer.headers["X-Content-Type-Options"] == "nosniff"
        assert answer.headers["Content-Type"].split(";")[0] in (
            "text/javascript",
            "text/css",
            "image/svg+xml",
        )


@pytest.mark.anyio
async def test_files_without_a_hash_in_their_names_are_asked_for_again() -> None:
    answer = await get(app_with_calls(), "/web/encodec/engine.wasm")
    assert answer.status_code == 200
    assert answer.headers["Content-Type"] == "application/wasm"
    assert answer.headers["Cache-Control"] == "no-cache"
    assert answer.headers["Content-Security-Policy"] == CONTENT_SECURITY_POLICY


@pytest.mark.anyio
async def test_what_a_browser_has_is_not_sent_again() -> None:
    app = app_with_calls()
    etag = (await get(app, "/")).headers["ETag"]
    for known in (etag, f'"other", {etag}', f"W/{etag}", "*"):
        again = await get(app, "/", headers={"If-None-Match": known})
        assert (again.status_code, again.content) == (304, b"")
        assert again.headers["ETag"] == etag
    assert (await get(app, "/", headers={"If-None-Match": '"other"'})).status_code == 200


def test_files_are_compressed_for_clients_that_take_it(client: httpx.Client) -> None:
    name = next(name for name in files_of(client.get("/").text) if name.endswith(".js"))
    plain = client.get(name, headers={"Accept-Encoding": "gzip;q=0, identity"})
    assert "Content-Encoding" not in plain.headers
    with client.stream("GET", name, headers={"Accept-Encoding": "br, gzip"}) as answer:
        sent = b"".join(answer.iter_raw())
    assert answer.headers["Content-Encoding"] == "gzip"
    assert answer.headers["Vary"] == "Accept-Encoding"
    assert answer.headers["ETag"] != plain.headers["ETag"]
    assert gzip.decompress(sent) == plain.content
    assert len(sent) < len(plain.content) / 2


@pytest.mark.anyio
async def test_head_is_get_without_the_body() -> None:
    app = app_with_calls()
    for path in ("/", "/" + files_of((await get(app, "/")).text)[0]):
        got, head = await get(app, path), await request(app, "HEAD", path)
        assert head.status_code == 200
        assert head.headers["Content-Length"] == got.headers["Content-Length"]
        assert head.headers["ETag"] == got.headers["ETag"]


@pytest.mark.anyio
@pytest.mark.parametrize(
    "path",
    [
        "/web/",
        "/web/nothing.js",
        "/web/index.html",
        "/web/build.json",
        "/web/encodec",
        "/web/encodec/build.json",
        "/web/..%2Fapp.py",
    ],
)
async def test_only_the_pages_files_are_served(path: str) -> None:
    answer = await get(app_with_calls(), path)
    assert answer.status_code == 404
    assert answer.json()["code"] == "not_found"


@pytest.mark.anyio
async def test_no_key_is_needed_for_the_page() -> None:
    assert (await get(app_with_calls(api_keys="secret"), "/")).status_code == 200


@pytest.mark.anyio
async def test_the_page_can_be_switched_off() -> None:
    app = app_with_calls(page=False)
    assert (await get(app, "/")).status_code == 404
    assert (await get(app, "/docs")).status_code == 200


@pytest.mark.anyio
async def test_the_page_takes_no_post() -> None:
    answer = await request(app_with_calls(), "POST", "/")
    assert answer.status_code == 405
    assert answer.headers["Allow"] == "GET, HEAD"
