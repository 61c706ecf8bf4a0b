"""Request bodies as streams: raw, or multipart/form-data with one part `file`.

Both give the same `Upload`: bytes as they arrive, counted, and with a limit on the wait for the
next.
"""

import asyncio
from collections.abc import AsyncGenerator
from dataclasses import dataclass

from starlette.requests import Request

from ..http.problems import Problem, ProblemCode
from .multipart import FRAMING_BYTES, FilePart


@dataclass(frozen=True)
class Upload:
    """A file that is being received. `chunks` can be read once; none of them is empty.

    Reading raises `Problem` (too large, too slow, empty, malformed) and Starlette's
    `ClientDisconnect`.
    """

    chunks: AsyncGenerator[bytes]
    content_type: str
    filename: str | None = None
    size: int | None = None  # bytes, where the client has said so


@dataclass(frozen=True)
class Limits:
    """How many bytes a file may have, and how many seconds its next bytes may take."""

    max_bytes: int
    read_timeout: float


async def open_upload(request: Request, limits: Limits) -> Upload:
    """The file in the body of `request`; reads only as much as tells what it is.

    Raises `Problem` and `ClientDisconnect`.
    """
    content_type = request.headers.get("content-type", "")
    kind = _kind(content_type)
    is_multipart = kind.startswith("multipart/")
    if is_multipart and kind != "multipart/form-data":
        raise _unsupported(f"a body of {kind} is not read; send the bytes, or multipart/form-data")
    encoding = request.headers.get("content-encoding", "identity").strip().lower()
    if encoding != "identity":
        raise _unsupported(f"a body with Content-Encoding {encoding[:50]!r} is not read")
    overhead = FRAMING_BYTES if is_multipart else 0
    announced = _content_length(request)
    if announced is not None and announced > limits.max_bytes + overhead:
        raise _too_large(limits)
    chunks = _counted(_received(request, limits), limits, overhead)
    if is_multipart:
        return await _open_multipart(FilePart(content_type), chunks, limits)
    return Upload(_not_empty(chunks), content_type, size=announced)


async def require_multipart(request: Request) -> None:
    """Raises `Problem` for a body of any other kind than multipart/form-data."""
    if _kind(request.headers.get("content-type", "")) != "multipart/form-data":
        raise _unsupported("this path takes multipart/form-data with one part 'file'")


async def _open_multipart(part: FilePart, chunks: AsyncGenerator[bytes], limits: Limits) -> Upload:
    async for chunk in chunks:
        part.feed(chunk)
        if part.begun:
            break
    else:
        part.finish()
    data = _not_empty(_counted(_part_data(part, chunks), limits))
    return Upload(data, part.content_type, part.filename)


async def _part_data(part: FilePart, chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    if data := part.take():
        yield data
    async for chunk in chunks:
        part.feed(chunk)
        if data := part.take():
            yield data
    part.finish()


async def _received(request: Request, limits: Limits) -> AsyncGenerator[bytes]:
    stream = request.stream()
    while True:
        try:
            async with asyncio.timeout(limits.read_timeout):
                chunk = await anext(stream)
        except StopAsyncIteration:
            return
        except TimeoutError:
            raise Problem(
                ProblemCode.CLIENT_TOO_SLOW,
                f"no byte of the body came for {limits.read_timeout:g} seconds",
            ) from None
        if chunk:
            yield chunk


async def _counted(
    chunks: AsyncGenerator[bytes], limits: Limits, overhead: int = 0
) -> AsyncGenerator[bytes]:
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > limits.max_bytes + overhead:
            raise _too_large(limits)
        yield chunk


async def _not_empty(chunks: AsyncGenerator[bytes]) -> AsyncGenerator[bytes]:
    empty = True
    async for chunk in chunks:
        empty = False
        yield chunk
    if empty:
        raise Problem(ProblemCode.EMPTY_BODY, "the body has no bytes")


def _kind(content_type: str) -> str:
    """Without parameters."""
    return content_type.partition(";")[0].strip().lower()


def _content_length(request: Request) -> int | None:
    value = request.headers.get("content-length", "")
    return int(value) if value.isascii() and value.isdigit() else None


def _too_large(limits: Limits) -> Problem:
    return Problem(ProblemCode.TOO_LARGE, f"the file is larger than {limits.max_bytes} bytes")


def _unsupported(detail: str) -> Problem:
    return Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, detail)
