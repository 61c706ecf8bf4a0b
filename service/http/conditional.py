"""Answers that clients keep and ask for again: `ETag`, `If-None-Match` and `Range` (RFC 9110)."""

import re
from collections.abc import Callable, Iterator
from hashlib import sha256
from io import BytesIO
from pathlib import Path
from typing import BinaryIO

from fastapi import Request, Response
from fastapi.responses import StreamingResponse

from .problems import Problem, ProblemCode

_PIECE = 1 << 18  # bytes of a file that are read at once

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def conditional(request: Request, response: Response) -> Response:
    """The answer to a GET or HEAD whose whole body `response` has: that, or the part of it that the
    client asks for (206), or 304 where the client has it already."""
    data = bytes(response.body)
    etag = f'"{sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache"}
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    return whole_or_part(request, data, headers, response.headers["content-type"])


def is_known(request: Request, etag: str) -> bool:
    """Whether the client has the body of this `ETag` already, by its `If-None-Match` (section
    13.1.2): the answer is then 304."""
    field = request.headers.get("if-none-match", "")
    tags = [tag.strip().removeprefix("W/") for tag in field.split(",")]
    return "*" in tags or etag in tags


def whole_or_part(
    request: Request, data: bytes, headers: dict[str, str], media_type: str
) -> Response:
    """`data`, or the part of it that the client asks for (206); `headers` have its `ETag`.

    A `Range` of several parts, or one that cannot be read, is ignored, as section 14.2 allows.
    Raises `Problem` 416 for one that begins behind the end.
    """
    headers = headers | {"Content-Type": media_type}
    return _in_pieces(request, lambda: BytesIO(data), len(data), headers)


def file_or_part(request: Request, path: Path, headers: dict[str, str], size: int) -> Response:
    """The same of a file of `size` bytes, read while it is sent; `headers` have its type too.
    Raises `OSError` where it is not there, and `Problem` 416."""
    path.stat()
    return _in_pieces(request, lambda: path.open("rb"), size, headers)


def _in_pieces(
    request: Request, begin: Callable[[], BinaryIO], size: int, headers: dict[str, str]
) -> Response:
    """So that a client that reads slowly does not have all of it in memory."""
    status, headers, (first, last) = _part(request, size, headers)
    left = last + 1 - first
    headers["Content-Length"] = str(left)
    if request.method == "HEAD":
        return Response(status_code=status, headers=headers)

    def pieces() -> Iterator[bytes]:
        nonlocal left
        with begin() as file:
            file.seek(first)
            while left and (piece := file.read(min(_PIECE, left))):
                left -= len(piece)
                yield piece

    return StreamingResponse(pieces(), status, headers)


def _part(
    request: Request, size: int, headers: dict[str, str]
) -> tuple[int, dict[str, str], tuple[int, int]]:
    """Status and headers of the answer of `size` bytes or a part of it; its first and last byte."""
    headers = headers | {"Accept-Ranges": "bytes"}
    unchanged = request.headers.get("if-range", headers["ETag"]) == headers["ETag"]
    if request.method == "GET" and unchanged:
        wanted = _range(request.headers.get("range", ""), size)
        if wanted is not None:
            headers["Content-Range"] = f"bytes {wanted[0]}-{wanted[1]}/{size}"
            return 206, headers, wanted
    return 200, headers, (0, size - 1)


def _range(field: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a `Range`; None for the whole. Raises `Problem` 416."""
    match = _RANGE.fullmatch(field.replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    begin, end = match.groups()
    if begin and end and int(end) < int(begin):
        return None
    first = int(begin) if begin else max(0, size - int(end))
    if first >= size:
        detail = f"the body has {size} bytes"
        headers = {"Content-Range": f"bytes */{size}"}
        raise Problem(ProblemCode.RANGE_NOT_SATISFIABLE, detail, headers=headers)
    return first, min(size - 1, int(end)) if begin and end else size - 1
