"""The client for asyncio."""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from itertools import count
from typing import Any, Self, TypeVar, Unpack, cast

import httpx

from .answers import Answer, AsyncStreamedAnswer, Target, connection, job_of, replaceable
from .client import NO_HEADERS, SENDING
from .errors import EncodecClientError, problem_of
from .options import (
    CodesOptions,
    CompressOptions,
    DecompressOptions,
    JobCall,
    JobOptions,
    RoundtripOptions,
    TranscodeOptions,
    job_headers,
    job_path,
    request_parts,
)
from .retries import DEFAULT_RETRIES, Retries
from .sources import AsyncSource, Body, Progress, Transfer
from .types import Codes, Inspection, Job, ModelInfo

T = TypeVar("T")


class AsyncClient:
    """As `Client`, for use in one event loop; sources may be asynchronous too. Files are read and
    written on the event loop, 64 KiB at a time.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        retries: Retries = DEFAULT_RETRIES,
        timeout: float | None = None,
        http: httpx.AsyncClient | None = None,
    ):
        """`timeout`: s, the longest wait for the next piece of an answer; by default without end.
        `http`: a client with proxies, certificates and the like; it is closed with this one."""
        self._http = http or httpx.AsyncClient()
        self._url = base_url.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._retries = retries
        self._timeout = httpx.Timeout(SENDING, read=timeout)

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(self, *exc: object) -> None:
        await self.close()

    async def close(self) -> None:
        """Close the connections."""
        await self._http.aclose()

    async def compress(
        self,
        audio: AsyncSource,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[CompressOptions],
    ) -> Answer:
        """Audio in any format that FFmpeg reads to an `.ecdc` file."""
        return await self._file("/compress", audio, options, to, progress)

    async def decompress(
        self,
        ecdc: AsyncSource,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[DecompressOptions],
    ) -> Answer:
        """An `.ecdc` file, or a part of it, to audio: by default a WAV."""
        return await self._file("/decompress", ecdc, options, to, progress)

    async def roundtrip(
        self,
        audio: AsyncSource,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[RoundtripOptions],
    ) -> Answer:
        """What `decompress` makes of what `compress` makes."""
        return await self._file("/roundtrip", audio, options, to, progress)

    async def transcode(
        self,
        ecdc: AsyncSource,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[TranscodeOptions],
    ) -> Answer:
        """An `.ecdc` file at a lower bandwidth, in another version or another entropy coding."""
        return await self._file("/transcode", ecdc, options, to, progress)

    async def stream_decompress(
        self,
        ecdc: AsyncSource,
        *,
        progress: Progress | None = None,
        **options: Unpack[DecompressOptions],
    ) -> AsyncStreamedAnswer:
        """As `decompress`; the audio comes while it is decoded, and is not retried then."""
        return await self._stream("/decompress", ecdc, options, progress)

    async def stream_roundtrip(
        self,
        audio: AsyncSource,
        *,
        progress: Progress | None = None,
        **options: Unpack[RoundtripOptions],
    ) -> AsyncStreamedAnswer:
        """As `roundtrip`; the audio comes while it is decoded, and is not retried then."""
        return await self._stream("/roundtrip", audio, options, progress)

    async def codes(
        self,
        audio: AsyncSource,
        *,
        progress: Progress | None = None,
        **options: Unpack[CodesOptions],
    ) -> Codes:
        """The discrete codes of audio."""
        return cast(Codes, await self._json("/codes", audio, options, progress))

    async def codes_npz(
        self,
        audio: AsyncSource,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[CodesOptions],
    ) -> Answer:
        """The same as a file for `numpy.load`."""
        return await self._file(
            "/codes", audio, options, to, progress, headers={"Accept": "application/x-npz"}
        )

    async def inspect(self, ecdc: AsyncSource, *, progress: Progress | None = None) -> Inspection:
        """What an `.ecdc` file says, and whether it is all there."""
        return cast(Inspection, await self._json("/inspect", ecdc, {}, progress))

    async def models(self) -> list[ModelInfo]:
        """The service's models."""
        return cast(list[ModelInfo], (await self._json("/models", None, {}, None))["models"])

    async def submit(
        self,
        call: JobCall,
        file: AsyncSource | None = None,
        *,
        progress: Progress | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Have a call done as a job, which goes on without this client; without a `file`,
        its input is at the URL `source=`. Raises `NoJobsError` where the service keeps none."""
        body = b"" if file is None else file
        headers = job_headers()
        return job_of(await self._file(f"/{call}", body, options, None, progress, headers))

    async def job(self, id: str) -> Job:
        """What has become of a job."""
        return cast(Job, await self._json(job_path(id), None, {}, None))

    async def jobs(self, limit: int = 20) -> list[Job]:
        """The latest jobs of this API key."""
        return cast(list[Job], (await self._json("/jobs", None, {"limit": limit}, None))["jobs"])

    async def wait(self, id: str, *, every: float = 2.0) -> Job:
        """A job, once it is done, failed or cancelled; asks `every` so many seconds."""
        while True:
            job = await self.job(id)
            if job["state"] not in ("queued", "running"):
                return job
            await asyncio.sleep(every)

    async def result(
        self, id: str, *, to: Target | None = None, progress: Progress | None = None
    ) -> Answer:
        """What a job has made; raises the `ProblemError` with which it failed."""
        return await self._file(f"{job_path(id)}/result", None, {}, to, progress)

    async def delete_job(self, id: str) -> None:
        """Cancel a job, or forget it where it has ended."""
        await self._file(job_path(id), None, {}, None, None, method="DELETE")

    async def ready(self) -> bool:
        """Whether the service takes calls; False too where it cannot be reached."""
        try:
            return (await self._http.get(f"{self._url}/health/ready")).is_success
        except httpx.TransportError:
            return False

    async def _json(
        self, path: str, source: AsyncSource | None, options: Any, progress: Progress | None
    ) -> Any:
        return json.loads((await self._file(path, source, options, None, progress)).content)

    async def _file(
        self,
        path: str,
        source: AsyncSource | None,
        options: Any,
        to: Target | None,
        progress: Progress | None,
        headers: Mapping[str, str] = NO_HEADERS,
        method: str | None = None,
    ) -> Answer:
        with Body(source) as body:

            async def begin() -> AsyncStreamedAnswer:
                return await self._begin(path, body, options, progress, headers, method)

            async def whole() -> Answer:
                async with await begin() as answer:
                    return await answer.read(to)

            if method == "DELETE":  # once may have been enough, and twice is another thing
                return await whole()
            if replaceable(to):
                return await self._retried(body, whole)
            async with await self._retried(body, begin) as answer:
                return await answer.read(to)

    async def _stream(
        self, path: str, source: AsyncSource, options: Any, progress: Progress | None
    ) -> AsyncStreamedAnswer:
        with Body(source) as body:
            return await self._retried(body, lambda: self._begin(path, body, options, progress))

    async def _retried(self, body: Body, attempt: Callable[[], Awaitable[T]]) -> T:
        for tried in count(1):
            try:
                return await attempt()
            except EncodecClientError as error:
                wait = self._retries.wait(error, tried) if body.replayable else None
                if wait is None:
                    raise
            await asyncio.sleep(wait)
        raise AssertionError("count has no end")

    async def _begin(
        self,
        path: str,
        body: Body,
        options: Any,
        progress: Progress | None,
        own: Mapping[str, str] = NO_HEADERS,
        method: str | None = None,
    ) -> AsyncStreamedAnswer:
        """An answer of which only the headers have been read."""
        transfer = Transfer(progress, body.size)
        query, headers = request_parts(options, body, own)
        request = self._http.build_request(
            method or ("POST" if body.exists else "GET"),
            self._url + path,
            params=query,
            headers=httpx.Headers(self._headers | headers, encoding="utf-8"),
            content=_counted(body, transfer) if body.exists else None,
            timeout=self._timeout,
        )
        with connection():
            response = await self._http.send(request, stream=True)
            if not response.is_success:
                await response.aread()
                raise problem_of(response)
        return AsyncStreamedAnswer(response, transfer)


async def _counted(body: Body, transfer: Transfer) -> AsyncIterator[bytes]:
    async for piece in body.async_pieces():
        yield transfer.sent(piece)
