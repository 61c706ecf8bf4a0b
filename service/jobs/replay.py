"""A job's request, made to the app as a client would make it and answered into a file: so a job has
the parameters, the permits, the bytes, the headers and the errors of the call that it stands for.
"""

import asyncio
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message

from ..http.auth import OWNER
from ..http.problems import Problem, ProblemCode
from ..http.request_stats import REQUEST_ID, RequestStats
from ..pipeline.upload import STORED, StoredUpload
from ..timings import SERVER_TIMING
from .files import PieceWriter, writing
from .job import Job, Progress

_OF_THE_ANSWER = (
    *("content-length", "connection", "transfer-encoding", REQUEST_ID.lower()),
    *(SERVER_TIMING.lower(), "traceresponse", "ratelimit", "ratelimit-policy"),
)
"""Headers that say nothing of the file: whoever gets it later has their own."""


@dataclass(frozen=True)
class Result:
    """A good answer."""

    headers: dict[str, str]
    etag: str
    size: int


@dataclass
class Replay:
    """One attempt at a job."""

    job: Job
    stored: StoredUpload
    stats: RequestStats = field(default_factory=RequestStats)
    _file: PieceWriter | None = None  # of the answer, once it is begun
    _status: int = 0
    _headers: dict[str, str] = field(default_factory=dict)
    _complete: bool = False
    _error: OSError | None = None  # the answer could not be written

    @property
    def written(self) -> int:
        """Bytes of the answer."""
        return 0 if self._file is None else self._file.written

    async def run(self, app: ASGIApp, result: Path) -> Result:
        """Raises `Problem`, and `OSError` where the answer cannot be written."""
        body: list[Message] = [{"type": "http.request", "body": b"", "more_body": False}]

        async def receive() -> Message:
            """There is no body, and the client stays."""
            if not body:
                await asyncio.Event().wait()
            return body.pop()

        async with writing(result) as file:
            self._file = file

            async def send(message: Message) -> None:
                try:
                    await self._take(message, file)
                except OSError as error:
                    self._error = error
                    raise

            try:
                await app(self._scope(), receive, send)
            except Exception:
                if self._error is None:
                    raise
            if self._error is not None:  # which the app may have wrapped
                raise self._error
            if self.stats.problem is not None:
                raise self.stats.problem
            await file.flush()
            if self._status != 200 or not self._complete:
                raise Problem(ProblemCode.INTERNAL_ERROR, "the answer broke off")
            await file.sync()
        return Result(self._headers, f'"{file.digest.hexdigest()[:32]}"', file.written)

    def progress(self) -> Progress:
        """How far it is; a round trip has two halves."""
        stats = self.stats
        decoded = stats.seconds_decoded
        decoding = decoded / stats.seconds_to_decode if stats.seconds_to_decode else 0.0
        if self.job.order.path == "/decompress":
            return Progress(decoded, min(1.0, decoding))
        encoded = stats.audio_seconds or 0.0
        whole = stats.seconds_to_encode
        encoding = None if whole is None else min(1.0, encoded / whole)
        if self.job.order.path == "/compress":
            return Progress(encoded, encoding)
        if stats.seconds_to_decode:
            encoding = 1.0
        share = None if encoding is None else (encoding + min(1.0, decoding)) / 2
        return Progress((encoded + decoded) / 2, share)

    def _scope(self) -> dict[str, Any]:
        order = self.job.order
        headers = {
            "host": "job",
            "accept": order.accept,
            "content-type": self.stored.content_type,
            REQUEST_ID.lower(): self.job.id,
        }
        return {
            "type": "http",
            "asgi": {"version": "3.0", "spec_version": "2.4"},
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": order.path,
            "raw_path": order.path.encode(),
            "query_string": order.query.encode(),
            "root_path": "",
            "headers": [(name.encode(), text.encode("latin-1")) for name, text in headers.items()],
            "client": None,
            "server": None,
            "state": {"request_stats": self.stats},
            STORED: self.stored,
            OWNER: order.owner,
        }

    async def _take(self, message: Message, file: PieceWriter) -> None:
        if message["type"] == "http.response.start":
            self._status = message["status"]
            found = Headers(raw=message["headers"])
            self._headers = {n: v for n, v in found.items() if n not in _OF_THE_ANSWER}
            return
        await file.add(message.get("body", b""))
        self._complete = not message.get("more_body", False)
