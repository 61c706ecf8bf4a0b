"""The real app without a server, with a few more routes that end as real ones should not."""

import asyncio
import errno
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
from fastapi import FastAPI, Request
from fastapi.responses import StreamingResponse
from starlette.requests import ClientDisconnect

from model_core.errors import BitstreamError
from service.app import create_app
from service.http.request_stats import request_stats
from service.settings import Settings


def app_with_calls(**settings: Any) -> FastAPI:
    """An app whose lifespan never begins, so it loads no models."""
    app = create_app(Settings(device="cpu", **settings))

    @app.get("/number/{n}")
    async def number(n: int, request: Request) -> int:
        request_stats(request).model = "encodec_24khz"
        return n

    @app.get("/broken")
    async def broken() -> None:
        raise ZeroDivisionError("a secret of the service")

    @app.get("/gone")
    async def gone() -> None:
        raise ClientDisconnect

    @app.get("/full")
    async def full() -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "/tmp/a secret of the service")

    @app.get("/cut/{kind}")
    async def cut(kind: str) -> StreamingResponse:
        async def body() -> AsyncIterator[bytes]:
            yield b"half"
            raise {"unexpected": ZeroDivisionError, "known": BitstreamError}[kind]("in the middle")

        return StreamingResponse(body())

    return app


async def request(app: FastAPI, method: str, path: str, **options: Any) -> httpx.Response:
    """The app's answer to one request."""
    transport = httpx.ASGITransport(app)
    async with httpx.AsyncClient(transport=transport, base_url="http://service") as client:
        return await client.request(method, path, **options)


async def get(app: FastAPI, path: str, **options: Any) -> httpx.Response:
    """The app's answer to a GET."""
    return await request(app, "GET", path, **options)


async def wait_for_answer(
    app: FastAPI, path: str, accept: Callable[[httpx.Response], bool]
) -> httpx.Response:
    """The first answer to GET `path` that `accept` takes; fails after a minute."""
    async with asyncio.timeout(60):
        while True:
            answer = await get(app, path)
            if accept(answer):
                return answer
            await asyncio.sleep(0.05)
