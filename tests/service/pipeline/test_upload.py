"""Request bodies: streamed as they arrive, within limits of size and time."""

import asyncio
from collections.abc import Sequence
from typing import Any

import httpx
import pytest
from pydantic import ByteSize
from starlette.requests import ClientDisconnect, Request

from service.http.problems import Problem, ProblemCode
from service.inference.places import Place
from service.pipeline.multipart import FRAMING_BYTES
from service.pipeline.upload import Upload, open_upload
from service.settings import Settings
from tests.service.calls import refused
from tests.service.sounds import wav

CALLS = ["/compress", "/roundtrip", "/codes", "/decompress", "/inspect"]
MULTIPART = "multipart/form-data; boundary=x"


class Body:
    """A request with headers and the pieces of its body; after those, silence or the end."""

    def __init__(self, pieces: Sequence[bytes], *, ends: bool = True, **headers: str):
        self.left = list(pieces)
        self._ends = ends
        names = [(name.replace("_", "-"), value) for name, value in headers.items()]
        raw = [(name.encode(), value.encode()) for name, value in names]
        self.request = Request({"type": "http", "method": "POST", "headers": raw}, self._receive)

    async def _receive(self) -> dict[str, Any]:
        if self.left:
            piece = self.left.pop(0)
            return {"type": "http.request", "body": piece, "more_body": True}
        if not self._ends:
            await asyncio.Event().wait()
        return {"type": "http.request", "body": b"", "more_body": False}


def form(file: bytes) -> bytes:
    return b'--x\r\nContent-Disposition: form-data; name="file"\r\n\r\n' + file + b"\r\n--x--\r\n"


async def opened(request: Request) -> Upload:
    limits = Settings(max_upload_bytes=ByteSize(1000), read_timeout=0.05, min_rate=0, rate_window=1)
    return await open_upload(request, limits, Place(), live=False)


async def read(upload: Upload) -> list[bytes]:
    return [chunk async for chunk in upload.chunks]


async def problem_of(body: Body) -> ProblemCode:
    """The problem that opening or reading a body ends in."""
    with pytest.raises(Problem) as refusal:
        await read(await opened(body.request))
    return refusal.value.code


@pytest.mark.anyio
async def test_bytes_are_passed_on_as_they_arrive_without_empty_chunks() -> None:
    body = Body([b"one", b"", b"two"], content_type="audio/x", content_length="6")
    upload = await opened(body.request)
    assert (upload.content_type, upload.size, upload.filename) == ("audio/x", 6, None)
    assert len(body.left) == 3  # nothing was read
    assert await anext(upload.chunks) == b"one"
    assert body.left == [b"", b"two"]
    assert await read(upload) == [b"two"]


@pytest.mark.anyio
async def test_a_multipart_file_is_the_same_upload() -> None:
    body = Body([form(b"abc")], content_type=MULTIPART)
    upload = await opened(body.request)
    assert (upload.content_type, upload.size) == ("application/octet-stream", None)
    assert b"".join(await read(upload)) == b"abc"


@pytest.mark.anyio
async def test_a_body_that_announces_too_many_bytes_is_refused_before_it_is_read() -> None:
    body = Body([b"x"], content_length="1001")
    assert await problem_of(body) is ProblemCode.TOO_LARGE
    assert body.left == [b"x"]
    framed = Body([form(b"abc")], content_type=MULTIPART, content_length=str(1001 + FRAMING_BYTES))
    assert await problem_of(framed) is ProblemCode.TOO_LARGE


@pytest.mark.anyio
async def test_received_bytes_count_whatever_was_announced() -> None:
    exact = await opened(Body([bytes(600), bytes(400)]).request)
    assert sum(map(len, await read(exact))) == 1000
    over = Body([bytes(600), bytes(401), b"rest"])
    assert await problem_of(over) is ProblemCode.TOO_LARGE
    assert over.left == [b"rest"]


@pytest.mark.anyio
async def test_the_limit_is_for_the_file_not_for_the_framing() -> None:
    exact = Body([form(bytes(1000))], content_type=MULTIPART, content_length="1060")
    assert b"".join(await read(await opened(exact.request))) == bytes(1000)
    over = Body([form(bytes(1001))], content_type=MULTIPART)
    assert await problem_of(over) is ProblemCode.TOO_LARGE


@pytest.mark.anyio
@pytest.mark.parametrize("content_type", ["audio/wav", MULTIPART])
async def test_a_client_that_sends_nothing_for_a_while_is_too_slow(content_type: str) -> None:
    pieces = [form(b"abc")[:-20]] if content_type == MULTIPART else [b"abc"]
    body = Body(pieces, ends=False, content_type=content_type)
    assert await problem_of(body) is ProblemCode.CLIENT_TOO_SLOW


@pytest.mark.anyio
async def test_silence_counts_against_the_least_rate_and_bytes_ahead_for_it() -> None:
    for begun, seconds in ((b"x", 0.1), (bytes(500), 0.2)):
        body = Body([begun], ends=False)
        limits = Settings(
            max_upload_bytes=ByteSize(1000), read_timeout=20, min_rate=1000, rate_window=0.1
        )
        upload = await open_upload(body.request, limits, Place(), live=False)
        began = asyncio.get_running_loop().time()
        with pytest.raises(Problem) as refusal:
            await read(upload)
        assert refusal.value.code is ProblemCode.CLIENT_TOO_SLOW
        assert asyncio.get_running_loop().time() - began > 0.9 * seconds


@pytest.mark.anyio
@pytest.mark.parametrize(
    ("headers", "code"),
    [
        ({"type": "multipart/mixed; boundary=x"}, ProblemCode.UNSUPPORTED_MEDIA_TYPE),
        ({"encoding": "gzip"}, ProblemCode.UNSUPPORTED_MEDIA_TYPE),
        ({"encoding": "identity"}, ProblemCode.EMPTY_BODY),
        ({"type": MULTIPART}, ProblemCode.BAD_REQUEST),
    ],
)
async def test_empty_bodies_and_those_of_another_form_are_refused(
    headers: dict[str, str], code: ProblemCode
) -> None:
    body = Body(
        [],
        content_type=headers.get("type", "audio/wav"),
        content_encoding=headers.get("encoding", "identity"),
    )
    assert await problem_of(body) is code


@pytest.mark.anyio
async def test_a_client_that_leaves_ends_the_upload() -> None:
    async def receive() -> dict[str, Any]:
        return {"type": "http.disconnect"}

    upload = await opened(Request({"type": "http", "headers": []}, receive))
    with pytest.raises(ClientDisconnect):
        await read(upload)


@pytest.mark.parametrize("call", CALLS)
def test_an_empty_body_or_file_is_refused_by_every_call(client: httpx.Client, call: str) -> None:
    refused(client.post(call), 400, "empty_body")
    refused(client.post(call, files={"file": b""}), 400, "empty_body")


def test_upload_paths_take_multipart_alone(client: httpx.Client) -> None:
    audio = wav(0.2)
    for headers in ({"content-type": "multipart/mixed; boundary=x"}, {"content-encoding": "gzip"}):
        answer = client.post("/compress", content=audio, headers=headers)
        refused(answer, 415, "unsupported_media_type")
    for call in ("/compress", "/decompress", "/roundtrip"):
        refused(client.post(f"{call}/upload", content=audio), 415, "unsupported_media_type")
