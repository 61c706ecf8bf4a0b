"""A job's input from a URL, and its result to one."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import aclosing, contextmanager
from functools import partial
from pathlib import Path
from typing import Any, ParamSpec, TypeVar
from urllib.parse import unquote, urlsplit

import httpx
import structlog

from ..cancellation import in_thread_apart
from ..http.problems import Problem, ProblemCode
from ..settings import Settings
from .files import writing
from .job import Input
from .urls import AllowedUrls, checked_client, failed, is_web

logger = structlog.get_logger(__name__)

T = TypeVar("T")
P = ParamSpec("P")

_PIECE = 1 << 20  # bytes
_NO_TYPE = "application/octet-stream"


async def fetch(url: str, path: Path, settings: Settings) -> Input:
    """What is at `url`, as the file `path`. Raises `Problem`: 403 for what is not allowed, 413 for
    what is too large, 502 for what cannot be read or takes too long."""
    allowed = AllowedUrls(settings.input_urls)
    allowed.check(url)
    try:
        async with asyncio.timeout(settings.url_timeout):
            if is_web(url):
                content_type, size = await _from_web(url, path, settings, allowed)
            else:
                content_type, size = _NO_TYPE, await _from_bucket(url, path, settings)
    except TimeoutError:
        raise failed(f"it was not there within {settings.url_timeout:g} s") from None
    name = unquote(urlsplit(url).path).rpartition("/")[2]
    return Input(content_type, name or None, size, size, "")


async def _from_web(
    url: str, path: Path, settings: Settings, allowed: AllowedUrls
) -> tuple[str, int]:
    """Its type and size."""
    async with checked_client(allowed, settings.private_urls, settings.read_timeout, True) as web:
        try:
            async with web.stream("GET", url) as answer:
                if answer.status_code != 200:
                    raise failed(f"it is answered with status {answer.status_code}")
                if answer.headers.get("content-encoding", "identity") != "identity":
                    raise failed("it is answered in a Content-Encoding")
                answer.headers.encoding = "latin-1"  # as those of our own requests
                size = await _write(answer.aiter_raw(), path, settings)
                return answer.headers.get("content-type", _NO_TYPE), size
        except (httpx.HTTPError, UnicodeError) as error:  # which a redirect's host may be
            raise failed(f"it cannot be read: {type(error).__name__}") from error


async def _from_bucket(url: str, path: Path, settings: Settings) -> int:
    filesystem, name = await _apart(_filesystem, url)
    with _bucket_errors("read"):
        file = await _apart(filesystem.open, name, "rb")

        async def pieces() -> AsyncIterator[bytes]:
            while piece := await _apart(file.read, _PIECE):
                yield piece

        try:
            async with aclosing(pieces()) as found:  # type: ignore[type-var]
                return await _write(found, path, settings)
        finally:
            await _apart(file.close)


async def _write(pieces: AsyncIterator[bytes], path: Path, settings: Settings) -> int:
    """As fast as an upload must come at least: few sources are fetched at a time."""
    most, rate, began = settings.max_upload_bytes, settings.min_rate, time.monotonic()
    async with writing(path) as file:
        async for piece in pieces:
            size = file.size + len(piece)
            if size > most:
                raise Problem(ProblemCode.TOO_LARGE, f"the file is larger than {most} bytes")
            if rate and time.monotonic() - began - size / rate > settings.rate_window:
                raise failed(f"it comes slower than {rate} bytes a second")
            await file.add(piece)
        await file.sync()
    if file.written == 0:
        raise Problem(ProblemCode.EMPTY_BODY, "the file has no bytes")
    return file.written


async def put(path: Path, url: str, settings: Settings) -> None:
    """A file into a bucket. Raises `Problem` 403 and 502."""
    AllowedUrls(settings.output_urls).check(url)
    try:
        with _bucket_errors("written"):
            async with asyncio.timeout(settings.url_timeout):
                filesystem, name = await _apart(_filesystem, url)
                await _apart(filesystem.put_file, str(path), name)
    except TimeoutError:
        raise failed(f"it was not written within {settings.url_timeout:g} s") from None


async def _apart(work: Callable[P, T], *arguments: P.args, **named: P.kwargs) -> T:
    """What a bucket's library does, which may hang for as long as it likes."""
    return await in_thread_apart(partial(work, *arguments, **named), "bucket")


def _filesystem(url: str) -> tuple[Any, str]:
    """That of a bucket, and the name in it."""
    import fsspec  # only where there are buckets: it is slow to load

    with _bucket_errors("reached"):
        filesystem, name = fsspec.core.url_to_fs(url)
    return filesystem, name


@contextmanager
def _bucket_errors(what: str) -> Iterator[None]:
    """A block in which an error of a bucket's library, which may be any, is a `Problem` 502."""
    try:
        yield
    except (Problem, TimeoutError):
        raise
    except Exception as error:
        logger.warning("a bucket failed", error=str(error), kind=type(error).__name__)
        raise failed(f"it cannot be {what}: {type(error).__name__}") from error
