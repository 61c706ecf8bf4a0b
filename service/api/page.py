"""`GET /`: the page, and its files under `/web/`.

`npm run build` in `clients/page` writes the files into `service/web`; `clients/web` writes the
browser's decoder into `service/web/encodec`. The names of most contain a hash of their contents, so
browsers may keep them forever.
"""

import gzip
import hashlib
import mimetypes
import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

from fastapi import APIRouter, Request, Response
from starlette.exceptions import HTTPException

from ..http.conditional import is_known

FOLDER = Path(__file__).parents[1] / "web"
INDEX = "index.html"
BUILD = "build.json"
"""What the files were built from; not served."""

CONTENT_SECURITY_POLICY = "; ".join(
    (
        "default-src 'none'",
        "script-src 'self' 'wasm-unsafe-eval'",
        "style-src 'self'",
        "img-src 'self' blob: data:",
        "media-src 'self' blob:",
        "connect-src 'self'",
        "worker-src 'self'",
        "base-uri 'none'",
        "form-action 'none'",
        "frame-ancestors 'none'",
    )
)
_SECURITY = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    "Referrer-Policy": "no-referrer",
    "Permissions-Policy": "microphone=(self), camera=(), geolocation=()",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
}
_FOREVER = "public, max-age=31536000, immutable"
_ASK_AGAIN = "no-cache"  # may be kept, but is asked for each time: 304 where it is the same
_TYPES = {".js": "text/javascript", ".wasm": "application/wasm", ".svg": "image/svg+xml"}
_SMALLER = (".html", ".js", ".css", ".svg", ".wasm")  # files that gzip makes smaller
_HASHED = re.compile(r".+-[0-9a-f]{10}\.\w+")


@dataclass(frozen=True)
class _File:
    path: Path
    content: bytes

    @cached_property
    def compressed(self) -> bytes:
        """By gzip; made when the first client takes it."""
        return gzip.compress(self.content, mtime=0)

    @cached_property
    def etag(self) -> str:
        """Without quotes."""
        return hashlib.sha256(self.content).hexdigest()[:16]

    @property
    def media_type(self) -> str:
        guessed = _TYPES.get(self.path.suffix) or mimetypes.guess_type(self.path.name)[0]
        return guessed or "application/octet-stream"

    @property
    def cache_control(self) -> str:
        return _FOREVER if _HASHED.fullmatch(self.path.name) else _ASK_AGAIN


def page_router(folder: Path = FOLDER) -> APIRouter:
    """The routes of the page; its files are read once, here. Raises `OSError` without them."""
    files = {
        path.relative_to(folder).as_posix(): _File(path, path.read_bytes())
        for path in folder.rglob("*")
        if path.is_file() and path.name != BUILD
    }
    index = files.pop(INDEX)
    router = APIRouter(include_in_schema=False)

    @router.head("/")
    @router.get("/")
    async def page(request: Request) -> Response:
        return _answer(request, index)

    @router.head("/web/{name:path}")
    @router.get("/web/{name:path}")
    async def file(request: Request, name: str) -> Response:
        if name not in files:
            raise HTTPException(404)
        return _answer(request, files[name])

    return router


def _answer(request: Request, file: _File) -> Response:
    """The file, compressed for clients that take that; 304 for those that have it."""
    zipped = file.path.suffix in _SMALLER and _takes_gzip(request)
    etag = f'"{file.etag}-gzip"' if zipped else f'"{file.etag}"'
    headers = {**_SECURITY, "Cache-Control": file.cache_control, "ETag": etag}
    if file.path.suffix in _SMALLER:
        headers["Vary"] = "Accept-Encoding"
    if is_known(request, etag):
        return Response(status_code=304, headers=headers)
    if zipped:
        headers["Content-Encoding"] = "gzip"
    content = file.compressed if zipped else file.content
    return Response(content, headers=headers, media_type=file.media_type)


def _takes_gzip(request: Request) -> bool:
    """Whether `Accept-Encoding` names gzip, and not with a weight of 0."""
    for coding in request.headers.get("accept-encoding", "").split(","):
        name, _, weight = coding.replace(" ", "").lower().partition(";q=")
        if name == "gzip":
            return weight.strip("0.") != "" or not weight
    return False
