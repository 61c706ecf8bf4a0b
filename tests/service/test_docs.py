"""The pages for people work where nothing but the service can be reached."""

import re

import httpx
import pytest


@pytest.mark.parametrize("page", ["/docs", "/redoc"])
def test_everything_a_page_loads_comes_from_here(client: httpx.Client, page: str) -> None:
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
