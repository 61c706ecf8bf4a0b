"""The client that waits."""

import json
import time
from collections.abc import Callable, Mapping
from itertools import count
from typing import Any, Self, TypeVar, Unpack, cast

import httpx

from .answers import Answer, StreamedAnswer, Target, connection, job_of, replaceable
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
from .sources import Body, Progress, Source, Transfer
from .types import Codes, Inspection, Job, ModelInfo

T = TypeVar("T")
NO_HEADERS: Mapping[str, str] = {}
SENDING = 30.0
"""s; the longest that connecting and sending a piece may take."""


class Client:
    """Calls a service. Several threads may use one client, and it is best made once.

    An answer that is a file is written to `to`, piece by piece, or else is in `Answer.content`.
    Every call raises `ProblemError` for an error that the service answers with,
    `ConnectionFailedError` where it cannot be reached or breaks off, and `OSError` for the files
    here. It is tried again as `Retries` says, if its source can be read again and no file that the
    caller opened has been written to.
    """

    def __init__(
        self,
        base_url: str = "http://127.0.0.1:8000",
        *,
        api_key: str | None = None,
        retries: Retries = DEFAULT_RETRIES,
        timeout: float | None = None,
        http: httpx.Client | None = None,
    ):
        """`timeout`: s, the longest wait for the next piece of an answer; by default without end.
        `http`: a client with proxies, certificates and the like; it is closed with this one."""
        self._http = http or httpx.Client()
        self._url = base_url.rstrip("/")
        self._headers = {} if api_key is None else {"Authorization": f"Bearer {api_key}"}
        self._retries = retries
        self._timeout = httpx.Timeout(SENDING, read=timeout)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exc: object) -> None:
        self.close()

    def close(self) -> None:
        """Close the connections."""
        self._http.close()

    def compress(
        self,
        audio: Source,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[CompressOptions],
    ) -> Answer:
        """Audio in any format that FFmpeg reads to an `.ecdc` file."""
        return self._file("/compress", audio, options, to, progress)

    def decompress(
        self,
        ecdc: Source,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[DecompressOptions],
    ) -> Answer:
        """An `.ecdc` file, or a part of it, to audio: by default a WAV."""
        return self._file("/decompress", ecdc, options, to, progress)

    def roundtrip(
        self,
        audio: Source,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[RoundtripOptions],
    ) -> Answer:
        """What `decompress` makes of what `compress` makes."""
        return self._file("/roundtrip", audio, options, to, progress)

    def transcode(
        self,
        ecdc: Source,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[TranscodeOptions],
    ) -> Answer:
        """An `.ecdc` file at a lower bandwidth, in another version or another entropy coding."""
        return self._file("/transcode", ecdc, options, to, progress)

    def stream_decompress(
        self,
        ecdc: Source,
        *,
        progress: Progress | None = None,
        **options: Unpack[DecompressOptions],
    ) -> StreamedAnswer:
        """As `decompress`; the audio comes while it is decoded, and is not retried then."""
        return self._stream("/decompress", ecdc, options, progress)

    def stream_roundtrip(
        self,
        audio: Source,
        *,
        progress: Progress | None = None,
        **options: Unpack[RoundtripOptions],
    ) -> StreamedAnswer:
        """As `roundtrip`; the audio comes while it is decoded, and is not retried then."""
        return self._stream("/roundtrip", audio, options, progress)

    def codes(
        self, audio: Source, *, progress: Progress | None = None, **options: Unpack[CodesOptions]
    ) -> Codes:
        """The discrete codes of audio."""
        return cast(Codes, self._json("/codes", audio, options, progress))

    def codes_npz(
        self,
        audio: Source,
        *,
        to: Target | None = None,
        progress: Progress | None = None,
        **options: Unpack[CodesOptions],
    ) -> Answer:
        """The same as a file for `numpy.load`."""
        return self._file(
            "/codes", audio, options, to, progress, headers={"Accept": "application/x-npz"}
        )

    def inspect(self, ecdc: Source, *, progress: Progress | None = None) -> Inspection:
        """What an `.ecdc` file says, and whether it is all there."""
        return cast(Inspection, self._json("/inspect", ecdc, {}, progress))

    def models(self) -> list[ModelInfo]:
        """The service's models."""
        return cast(list[ModelInfo], self._json("/models", None, {}, None)["models"])

    def submit(
        self,
        call: JobCall,
        file: Source | None = None,
        *,
        progress: Progress | None = None,
        **options: Unpack[JobOptions],
    ) -> Job:
        """Have a call done as a job, which goes on without this client; without a `file`,
        its input is at the URL `source=`. Raises `NoJobsError` where the service keeps none."""
        body = b"" if file is None else file
        headers = job_headers()
        return job_of(self._file(f"/{call}", body, options, None, progress, headers))

    def job(self, id: str) -> Job:
        """What has become of a job."""
        return cast(Job, self._json(job_path(id), None, {}, None))

    def jobs(self, limit: int = 20) -> list[Job]:
        """The latest jobs of this API key."""
        return cast(list[Job], self._json("/jobs", None, {"limit": limit}, None)["jobs"])

    def wait(self, id: str, *, every: float = 2.0) -> Job:
        """A job, once it is done, failed or cancelled; asks `every` so many seconds."""
        while True:
            job = self.job(id)
            if job["state"] not in ("queued", "running"):
                return job
            time.sleep(every)

    def result(
        self, id: str, *, to: Target | None = None, progress: Progress | None = None
    ) -> Answer:
        """What a job has made; raises the `ProblemError` with which it failed."""
        return self._file(f"{job_path(id)}/result", None, {}, to, progress)

    def delete_job(self, id: str) -> None:
        """Cancel a job, or forget it where it has ended."""
        self._file(job_path(id), None, {}, None, None, method="DELETE")

    def ready(self) -> bool:
        """Whether the service takes calls; False too where it cannot be reached."""
        try:
            return self._http.get(f"{self._url}/health/ready").is_success
        except httpx.TransportError:
            return False

    def _json(
        self, path: str, source: Source | None, options: Any, progress: Progress | None
    ) -> Any:
        return json.loads(self._file(path, source, options, None, progress).content)

    def _file(
        self,
        path: str,
        source: Source | None,
        options: Any,
        to: Target | None,
        progress: Progress | None,
        headers: Mapping[str, str] = NO_HEADERS,
        method: str | None = None,
    ) -> Answer:
        with Body(source) as body:

            def begin() -> StreamedAnswer:
                return self._begin(path, body, options, progress, headers, method)

            def whole() -> Answer:
                with begin() as answer:
                    return answer.read(to)

            if method == "DELETE":  # once may have been enough, and twice is another thing
                return whole()
            if replaceable(to):
                return self._retried(body, whole)
            with self._retried(body, begin) as answer:
                return answer.read(to)

    def _stream(
        self, path: str, source: Source, options: Any, progress: Progress | None
    ) -> StreamedAnswer:
        with Body(source) as body:
            return self._retried(body, lambda: self._begin(path, body, options, progress))

    def _retried(self, body: Body, attempt: Callable[[], T]) -> T:
        for tried in count(1):
            try:
                return attempt()
            except EncodecClientError as error:
                wait = self._retries.wait(error, tried) if body.replayable else None
                if wait is None:
                    raise
            time.sleep(wait)
        raise AssertionError("count has no end")

    def _begin(
        self,
        path: str,
        body: Body,
        options: Any,
        progress: Progress | None,
        own: Mapping[str, str] = NO_HEADERS,
        method: str | None = None,
    ) -> StreamedAnswer:
        """An answer of which only the headers have been read."""
        transfer = Transfer(progress, body.size)
        query, headers = request_parts(options, body, own)
        request = self._http.build_request(
            method or ("POST" if body.exists else "GET"),
            self._url + path,
            params=query,
            headers=httpx.Headers(self._headers | headers, encoding="utf-8"),
            content=map(transfer.sent, body.pieces()) if body.exists else None,
            timeout=self._timeout,
        )
        with connection():
            response = self._http.send(request, stream=True)
            if not response.is_success:
                response.read()
                raise problem_of(response)
        return StreamedAnswer(response, transfer)
