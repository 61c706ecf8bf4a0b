"""Answers that clients keep and ask for again: `ETag`, `If-None-Match` and `Range` (RFC 9110)."""

import re
from hashlib import sha256

from fastapi import Request, Response

_RANGE = re.compile(r"bytes=(\d{0,15})-(\d{0,15})")


def conditional(request: Request, response: Response) -> Response:
    """The answer to a GET or HEAD whose whole body `response` has: that, or the part of it that the
    client asks for (206), or 304 where the client has it already.

    A `Range` of several parts, or one that does not fit, is ignored, as section 14.2 allows.
    """
    data = bytes(response.body)
    etag = f'"{sha256(data).hexdigest()[:32]}"'
    headers = {"ETag": etag, "Cache-Control": "no-cache", "Accept-Ranges": "bytes"}
    if _names(request.headers.get("if-none-match", ""), etag):
        return Response(status_code=304, headers=headers)
    if request.method == "GET" and request.headers.get("if-range", etag) == etag:
        wanted = _range(request.headers.get("range", ""), len(data))
        if wanted is not None:
            first, last = wanted
            headers["Content-Range"] = f"bytes {first}-{last}/{len(data)}"
            part = data[first : last + 1]
            return Response(part, 206, headers, media_type=response.headers["content-type"])
    response.headers.update(headers)
    return response


def _names(field: str, etag: str) -> bool:
    """Whether `If-None-Match` names this body (section 13.1.2)."""
    tags = [tag.strip().removeprefix("W/") for tag in field.split(",")]
    return "*" in tags or etag in tags


def _range(field: str, size: int) -> tuple[int, int] | None:
    """First and last byte of a `Range`; None for the whole."""
    match = _RANGE.fullmatch(field.replace(" ", ""))
    if match is None or match.groups() == ("", ""):
        return None
    begin, end = match.groups()
    first = int(begin) if begin else max(0, size - int(end))
    last = min(size - 1, int(end)) if begin and end else size - 1
    return (first, last) if first <= last else None
