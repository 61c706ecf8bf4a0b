"""The file in the body of a request, as it arrives: raw, or the one part `file` of
multipart/form-data. Work on it can begin before the body has ended."""

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


async def open_upload(request: Request, max_bytes: int, read_timeout: float) -> Upload:
    """The file in the body of `request`, at most `max_bytes` long; its next bytes may take
    `read_timeout` seconds. Reads only as much as tells what it is.

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
    framing = FRAMING_BYTES if is_multipart else 0
    length = request.headers.get("content-length", "")
    size = int(length) if length.isascii() and length.isdigit() else None
    if size is not None and size > max_bytes + framing:
        raise _too_large(max_bytes)
    body = _body(request, max_bytes, framing, read_timeout)
    if not is_multipart:
        return Upload(_file(body, max_bytes), content_type, size=size)
    part = FilePart(content_type)
    begun = b""
    async for chunk in body:
        begun = part.feed(chunk)
        if part.begun:
            break
    else:
        part.finish()

    async def data() -> AsyncGenerator[bytes]:
        yield begun
        async for chunk in body:
            yield part.feed(chunk)
        part.finish()

    return Upload(_file(data(), max_bytes), part.content_type, part.filename)


async def require_multipart(request: Request) -> None:
    """Raises `Problem` for a body of any other kind than multipart/form-data."""
    if _kind(request.headers.get("content-type", "")) != "multipart/form-data":
        raise _unsupported("this path takes multipart/form-data with one part 'file'")


async def _body(
    request: Request, max_bytes: int, framing: int, read_timeout: float
) -> AsyncGenerator[bytes]:
    """The whole body, within its limits."""
    stream = request.stream()
    size = 0
    while True:
        try:
            async with asyncio.timeout(read_timeout):
                chunk = await anext(stream, None)
        except TimeoutError:
            detail = f"no byte of the body came for {read_timeout:g} seconds"
            raise Problem(ProblemCode.CLIENT_TOO_SLOW, detail) from None
        if chunk is None:
            return
        size += len(chunk)
        if size > max_bytes + framing:
            raise _too_large(max_bytes)
        yield chunk


async def _file(chunks: AsyncGenerator[bytes], max_bytes: int) -> AsyncGenerator[bytes]:
    """The same without empty chunks, if it is neither empty nor too large."""
    size = 0
    async for chunk in chunks:
        size += len(chunk)
        if size > max_bytes:
            raise _too_large(max_bytes)
        if chunk:
            yield chunk
    if size == 0:
        raise Problem(ProblemCode.EMPTY_BODY, "the body has no bytes")


def _kind(content_type: str) -> str:
    """Without parameters."""
    return content_type.partition(";")[0].strip().lower()


def _too_large(max_bytes: int) -> Problem:
    return Problem(ProblemCode.TOO_LARGE, f"the file is larger than {max_bytes} bytes")


def _unsupported(detail: str) -> Problem:
    return Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, detail)
