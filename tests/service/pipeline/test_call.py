"""What a call holds: freed at its end, and its work cancelled when the client leaves."""

import asyncio
from contextlib import AsyncExitStack
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request

from service.http.connection import CONNECTION_LOST
from service.http.middleware import request_stats
from service.pipeline.call import Call
from tests.service.in_process import app_with_calls
from tests.service.live import Live

pytestmark = pytest.mark.anyio


class Client:
    """Sends the pieces of a body and stays until it leaves."""

    def __init__(self, app: FastAPI, *pieces: bytes):
        self._pieces = list(pieces)
        self.left = asyncio.Event()
        state = {CONNECTION_LOST: self.left}
        self.request = Request(
            {"type": "http", "headers": [], "app": app, "state": state}, self._receive
        )

    async def _receive(self) -> dict[str, Any]:
        if self._pieces:
            body = self._pieces.pop(0)
            return {"type": "http.request", "body": body, "more_body": bool(self._pieces)}
        await self.left.wait()
        return {"type": "http.disconnect"}


def call_of(client: Client, stack: AsyncExitStack) -> Call:
    state = client.request.app.state
    return Call(
        client.request,
        stack,
        state.settings,
        state.models,
        state.decoders,
        state.scheduler.stream(),
    )


async def test_permit_and_spool_are_freed_when_the_call_ends() -> None:
    app = app_with_calls()
    async with AsyncExitStack() as stack:
        call = call_of(Client(app), stack)
        await call.admit()
        file = call.spool()
        assert app.state.admission.active == 1
        assert not file.closed
    assert app.state.admission.active == 0
    assert file.closed


async def test_a_client_that_leaves_while_it_waits_for_a_permit_gets_none() -> None:
    app = app_with_calls(max_requests=1)
    client = Client(app)
    async with app.state.admission.permit(), AsyncExitStack() as stack:
        waiting = asyncio.create_task(call_of(client, stack).admit())
        await asyncio.sleep(0)
        client.left.set()
        with pytest.raises(ClientDisconnect):
            await waiting
        assert (app.state.admission.active, app.state.admission.waiting) == (1, 0)


async def test_work_is_cancelled_when_the_client_leaves() -> None:
    client = Client(app_with_calls(), b"the rest", b"of the body")
    cancelled = False

    async def work(call: Call) -> None:
        nonlocal cancelled
        async with call.while_connected():
            client.left.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled = True
                raise

    async with AsyncExitStack() as stack:
        with pytest.raises(ClientDisconnect):
            await work(call_of(client, stack))
    assert cancelled


async def test_audio_is_counted_in_seconds_for_the_log(server: Live) -> None:
    codec = server.app.state.models.served()[1].codec
    client = Client(app_with_calls())
    async with AsyncExitStack() as stack:
        call = call_of(client, stack)
        call.note_audio(codec, 24_000)
        call.note_audio(codec, 12_000)
    stats = request_stats(client.request)
    assert (stats.model, stats.audio_seconds) == (codec.name, 0.75)
