"""The app as a whole: what its factory refuses, its documentation pages, HEAD, separate metrics."""

import re
from pathlib import Path

import httpx
import pytest

from service.app import create_app
from service.settings import Settings
from tests.service.in_process import app_with_calls, get


def test_a_device_that_does_not_exist_is_refused() -> None:
    with pytest.raises(ValueError, match="cuda:99"):
        create_app(Settings(device="cuda:99"))


def test_a_spool_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="missing"):
        create_app(Settings(device="cpu", spool_dir=tmp_path / "missing"))


@pytest.mark.anyio
async def test_apps_do_not_share_their_metrics() -> None:
    one, other = app_with_calls(), app_with_calls()
    await get(one, "/number/1")
    assert "/number/{n}" in (await get(one, "/metrics")).text
    assert "/number/{n}" not in (await get(other, "/metrics")).text


@pytest.mark.anyio
async def test_paths_with_a_trailing_slash_are_not_redirected() -> None:
    """An upload would be sent twice."""
    assert (await get(app_with_calls(), "/models/")).status_code == 404


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_documentation_pages_load_from_the_service_alone(client: httpx.Client, page: str) -> None:
    html = client.get(page).text
    loaded = re.findall(r'<(?:script|link)[^>]*(?:src|href)="([^"]+)"', html)
    assert any(address.endswith(".js") for address in loaded)
    for address in loaded:
        answer = client.get(address)  # fails for another host
        assert address.startswith("/")
        assert answer.status_code == 200
        assert len(answer.content) > 1000
    assert "/openapi.json" in html
    assert not re.search(r"@import|fonts\.googleapis", html)


@pytest.mark.parametrize(
    "path", ["/health/live", "/health/ready", "/models", "/metrics", "/openapi.json", "/docs"]
)
def test_head_is_get_without_the_body(client: httpx.Client, path: str) -> None:
    got, head = client.get(path), client.head(path)
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["Content-Type"] == got.headers["Content-Type"]
    assert int(head.headers["Content-Length"]) > 0
