"""The file in the body of a request, as it arrives: raw, or the one part `file` of
multipart/form-data. Work on it can begin before the body has ended."""

import asyncio
import time
from collections.abc import AsyncGenerator
from dataclasses import dataclass, replace
from pathlib import Path

from starlette.requests import Request

from ..http.problems import Problem, ProblemCode
from ..http.request_stats import request_stats
from ..inference.places import Place
from ..settings import Settings
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
    live: bool = False
    body_size: int | None = None  # bytes of the whole body, where the client has said so
    head: bytes = b""  # as much as `begin` has waited for

    async def begin(self, size: int) -> "Upload":
        """The same upload, once `size` bytes of it, or all, are here."""
        first = []
        missing = size
        body_size = self.body_size
        while missing > 0:
            if (chunk := await anext(self.chunks, None)) is None:
                body_size = size - missing
                break
            first.append(chunk)
            missing -= len(chunk)

        async def chunks() -> AsyncGenerator[bytes]:
            for chunk in first:
                yield chunk
            async for chunk in self.chunks:
                yield chunk

        return replace(self, chunks=chunks(), body_size=body_size, head=b"".join(first))


STORED = "encodec.stored"
"""Where the scope of a request has its `StoredUpload`, if the service itself makes the request."""
_PIECE = 1 << 18  # bytes of a stored upload that are read at once


@dataclass
class StoredUpload:
    """A file that was received before."""

    path: Path
    content_type: str
    filename: str | None
    declared: int | None
    """Bytes, where the client had said so before it sent them."""
    size: int
    """Bytes."""

    def upload(self) -> Upload:
        """The same upload as it was."""
        given = self.content_type, self.filename, self.declared
        return Upload(self._chunks(), *given, body_size=self.size)

    async def _chunks(self) -> AsyncGenerator[bytes]:
        with await asyncio.to_thread(self.path.open, "rb") as file:
            while chunk := await asyncio.to_thread(file.read, _PIECE):
                yield chunk


_OVERDUE = 1.0  # s behind the least rate after which another request may have the place
_SILENT = 5.0  # s without a byte of a source that has no least rate


async def open_upload(request: Request, limits: Settings, place: Place, live: bool) -> Upload:
    """The file in the body of `request`, which has this `place`; a `live` one has no least rate.
    Reads only as much as tells what it is.

    Raises `Problem` and `ClientDisconnect`.
    """
    max_bytes = limits.max_upload_bytes
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
    body = _body(request, limits, place, framing, live)
    if not is_multipart:
        return Upload(_file(body, max_bytes), content_type, None, size, live, size)
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

    return Upload(_file(data(), max_bytes), part.content_type, part.filename, None, live, size)


async def require_multipart(request: Request) -> None:
    """Raises `Problem` for a body of any other kind than multipart/form-data."""
    if _kind(request.headers.get("content-type", "")) != "multipart/form-data":
        raise _unsupported("this path takes multipart/form-data with one part 'file'")


async def _body(
    request: Request, limits: Settings, place: Place, framing: int, live: bool
) -> AsyncGenerator[bytes]:
    """The whole body, within its limits."""
    stream = request.stream()
    clock = asyncio.get_running_loop().time
    rate, window = 0.0 if live else limits.min_rate, limits.rate_window
    size = 0
    started, waited = time.monotonic(), 0.0
    behind = 0.0  # s of waiting that the bytes so far do not pay for, at the least rate
    while True:
        began = clock()
        longest, due = limits.read_timeout, began + _SILENT
        if rate > 0:
            longest, due = min(longest, window - behind), began - behind + _OVERDUE
        try:
            async with asyncio.timeout(longest) as wait:
                with place.waiting(due, wait):
                    chunk = await anext(stream, None)
        except TimeoutError:
            if not place.lost:
                raise _too_slow(_why(limits, longest)) from None
        if place.lost:
            raise _too_slow("the body comes too slowly, and another request needs its place")
        waited += clock() - began
        if chunk is None:
            timings = request_stats(request).timings
            attributes = {"http.request.body.size": size}
            timings.add("receive", started, time.monotonic(), waited, attributes)
            return
        size += len(chunk)
        if size > limits.max_upload_bytes + framing:
            raise _too_large(limits.max_upload_bytes)
        if rate > 0:
            behind = max(-window, behind + clock() - began - len(chunk) / rate)
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


def _why(limits: Settings, waited: float) -> str:
    if waited == limits.read_timeout:
        return f"no byte of the body came for {waited:g} seconds"
    return f"less than {limits.min_rate:g} bytes a second of the body came; live=true allows it"


def _too_slow(detail: str) -> Problem:
    return Problem(ProblemCode.CLIENT_TOO_SLOW, detail)


def _unsupported(detail: str) -> Problem:
    return Problem(ProblemCode.UNSUPPORTED_MEDIA_TYPE, detail)
