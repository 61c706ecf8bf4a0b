"""What a call holds: freed at its end, and its work cancelled when the client leaves."""

import asyncio
from contextlib import AsyncExitStack
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.requests import ClientDisconnect, Request

from service.http.connection import CONNECTION_LOST
from service.http.request_stats import request_stats
from service.pipeline.call import MEMORY_BYTES, Call, check_spool, contents, in_chunks, new_call
from tests.service.decoder.processes import names
from tests.service.in_process import app_with_calls
from tests.service.live import Live

pytestmark = pytest.mark.anyio
CHUNK = 1 << 16


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


async def test_permit_and_spool_are_freed_when_the_call_ends() -> None:
    app = app_with_calls()
    async with AsyncExitStack() as stack:
        call = new_call(Client(app).request, stack)
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
        waiting = asyncio.create_task(new_call(client.request, stack).admit())
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
            await work(new_call(client.request, stack))
    assert cancelled


async def test_audio_is_counted_in_seconds_for_the_log(server: Live) -> None:
    codec = server.app.state.models.served()[1].codec
    client = Client(app_with_calls())
    async with AsyncExitStack() as stack:
        call = new_call(client.request, stack)
        call.note_audio(codec, 24_000)
        call.note_audio(codec, 12_000)
    stats = request_stats(client.request)
    assert (stats.model, stats.audio_seconds) == (codec.name, 0.75)


async def test_a_spool_that_outgrows_memory_is_a_file_in_its_folder_without_a_name(
    tmp_path: Path,
) -> None:
    async with AsyncExitStack() as stack:
        file = new_call(Client(app_with_calls(spool_dir=tmp_path)).request, stack).spool()
        file.write(bytes(MEMORY_BYTES + 1))
        assert folder_of(file.fileno()) == tmp_path
        assert names(tmp_path) == []  # the system removes it whatever happens
    assert file.closed


def folder_of(descriptor: int) -> Path:
    return Path(f"/proc/self/fd/{descriptor}").readlink().parent


def test_a_folder_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    check_spool(tmp_path)
    check_spool(None)
    with pytest.raises(ValueError, match="cannot be kept in"):
        check_spool(tmp_path / "missing")


async def test_contents_are_the_rest_of_a_file_in_chunks() -> None:
    data = bytes(range(256)) * 1000
    file = BytesIO(data)
    file.seek(100)
    read = [chunk async for chunk in contents(file)]
    assert b"".join(read) == data[100:]
    assert {len(chunk) for chunk in read[:-1]} == {CHUNK}


def test_small_pieces_are_joined_into_chunks() -> None:
    pieces = [bytes([n % 256]) * (n % 100) for n in range(5000)]
    joined = list(in_chunks(pieces))
    assert b"".join(joined) == b"".join(pieces)
    assert all(CHUNK <= len(chunk) < CHUNK + 100 for chunk in joined[:-1])
    assert 0 < len(joined[-1]) < CHUNK
    assert list(in_chunks([])) == list(in_chunks([b"", b""])) == []
