"""What comes back: a file, and what the service says of it."""

import contextlib
import json
import os
import tempfile
from collections.abc import AsyncIterator, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, Self, cast

import httpx

from .errors import ConnectionFailedError, NoJobsError
from .sources import Transfer
from .types import Job

Target = str | os.PathLike[str] | BinaryIO
"""Where an answer is written: a path, which then holds the whole answer or what it held before, or
an open binary file."""


@dataclass(frozen=True)
class Facts:
    """What the headers of an answer say; None where they do not."""

    model: str | None
    weights: str | None
    """Where they are from and which they are: `bundled:1a2b3c4d`."""
    bandwidth: float | None
    """Nominal, kbps."""
    duration: float | None
    """Of the audio, s."""
    compressed_bytes: int | None
    compressed_kbps: float | None
    warning: str | None
    """What of the audio a higher effort would code better (`X-Encodec-Warning`)."""
    salvaged: str | None
    """What of a damaged file is lost (`X-Encodec-Salvaged`)."""
    filename: str | None
    request_id: str | None


def facts_of(headers: Mapping[str, str]) -> Facts:
    """From the headers of an answer."""

    def number(name: str) -> float | None:
        return float(headers[name]) if name in headers else None

    size = number("x-compressed-bytes")
    disposition = headers.get("content-disposition", "")
    _, _, name = disposition.partition('filename="')
    return Facts(
        model=headers.get("x-encodec-model"),
        weights=headers.get("x-encodec-weights"),
        bandwidth=number("x-encodec-bandwidth"),
        duration=number("x-audio-duration"),
        compressed_bytes=None if size is None else int(size),
        compressed_kbps=number("x-compressed-kbps"),
        warning=headers.get("x-encodec-warning"),
        salvaged=headers.get("x-encodec-salvaged"),
        filename=name.partition('"')[0] or None,
        request_id=headers.get("x-request-id"),
    )


@dataclass(frozen=True)
class Answer:
    """A file that came back whole."""

    content: bytes
    """Empty where it was written to a target."""
    facts: Facts
    content_type: str
    headers: httpx.Headers


class _Streamed:
    def __init__(self, response: httpx.Response, transfer: Transfer):
        self._response = response
        self._transfer = transfer
        transfer.expects(response.headers.get("content-length"))
        self.headers = response.headers
        self.content_type = response.headers.get("content-type", "")
        self.facts = facts_of(response.headers)

    def _whole(self, content: bytes) -> Answer:
        return Answer(content, self.facts, self.content_type, self.headers)


class StreamedAnswer(_Streamed):
    """A file that comes as it is read; a context manager."""

    def __iter__(self) -> Iterator[bytes]:
        """Raises `ConnectionFailedError` where it ends too early."""
        with connection():
            for piece in self._response.iter_bytes():
                yield self._transfer.received(piece)

    def read(self, to: Target | None = None) -> Answer:
        """All of it."""
        if to is None:
            return self._whole(b"".join(self))
        with opened(to) as file:
            for piece in self:
                file.write(piece)
        return self._whole(b"")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self._response.close()


class AsyncStreamedAnswer(_Streamed):
    """A file that comes as it is read; an asynchronous context manager."""

    async def __aiter__(self) -> AsyncIterator[bytes]:
        """Raises `ConnectionFailedError` where it ends too early."""
        with connection():
            async for piece in self._response.aiter_bytes():
                yield self._transfer.received(piece)

    async def read(self, to: Target | None = None) -> Answer:
        """All of it. (Files are written on the event loop, piece by piece.)"""
        if to is None:
            return self._whole(b"".join([piece async for piece in self]))
        with opened(to) as file:
            async for piece in self:
                file.write(piece)
        return self._whole(b"")

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self._response.aclose()


def job_of(answer: Answer) -> Job:
    """The job in the answer to a request for one. Raises `NoJobsError` where it is none."""
    if "preference-applied" not in answer.headers:
        raise NoJobsError("the service keeps no jobs")
    return cast(Job, json.loads(answer.content))


def replaceable(target: Target | None) -> bool:
    """Whether an answer that broke off can be written to it again."""
    return target is None or isinstance(target, str | os.PathLike)


@contextlib.contextmanager
def connection() -> Iterator[None]:
    """A block in which errors of the connection are `ConnectionFailedError`."""
    try:
        yield
    except httpx.TransportError as error:
        raise ConnectionFailedError(f"{type(error).__name__}: {error}") from error


@contextlib.contextmanager
def opened(target: Target) -> Iterator[BinaryIO]:
    """The target, to be written. A path gets its new content when the block ends without an error
    and keeps the old otherwise."""
    if not isinstance(target, str | os.PathLike):
        yield target
        return
    path = Path(target)
    number, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    written = Path(name)
    try:
        with open(number, "wb") as file:  # noqa: PTH123 - a descriptor
            yield file
        umask = os.umask(0)
        os.umask(umask)
        written.chmod(0o666 & ~umask)  # mkstemp's are private
        written.replace(path)
    except BaseException:
        written.unlink()
        raise
