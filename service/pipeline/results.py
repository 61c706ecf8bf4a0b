"""Recent results, by what they were made of; off unless `result_cache_bytes` says otherwise.

A request is answered from here, without a permit and without the networks, where the hash of its
body is known before the body is worked on: because the client says it (`Content-Digest`), because
it repeats an `Idempotency-Key`, or because the body is small and all there. The body is read and
hashed all the same: nobody gets a result without having what it was made of.
"""

import re
import time
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator, Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header

from ..http.problems import Problem, ProblemCode
from .call import Call
from .upload import Upload

STATE = "X-Encodec-Cache"
"""The header that says `hit` or `miss`, where there is a cache."""

_SMALL = 1 << 16  # bytes of a body that is hashed before anything else is done
_LARGEST = 0.25  # of the cache that one result may take
_OVERHEAD = 1024  # bytes of memory for a result and for a name of one, beside what they hold

_SHA_256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?=[;,]|$)")
_NAME = re.compile(r'"?([\x20\x21\x23-\x7e]{1,255})"?')

Question = tuple[object, ...]
"""All that a result depends on but the body, and who asks."""
Name = tuple[str, str | None, str | None]
"""An `Idempotency-Key`, and who uses it."""


@dataclass(frozen=True)
class Claims:
    """What a client says of its request, unread."""

    idempotency_key: str | None = None
    content_digest: str | None = None
    repr_digest: str | None = None

    def name(self) -> str | None:
        """Raises `Problem` 400."""
        if self.idempotency_key is None:
            return None
        found = _NAME.fullmatch(self.idempotency_key.strip())
        if found is None:
            detail = "an Idempotency-Key is 1 to 255 printable characters of ASCII"
            raise Problem(ProblemCode.BAD_REQUEST, detail)
        return found[1]

    def digest(self) -> bytes | None:
        """The SHA-256 of the body; other algorithms count as not there. Raises `Problem` 400."""
        found = set()
        for said in (self.content_digest or "", self.repr_digest or ""):
            if "sha-256" not in said:
                continue
            match = _SHA_256.search(said)
            if match is None:
                detail = "a digest looks like this: sha-256=:(44 characters of base64):"
                raise Problem(ProblemCode.BAD_REQUEST, detail)
            found.add(b64decode(match[1]))
        if len(found) > 1:
            raise _digest_mismatch("Content-Digest and Repr-Digest say different things")
        return next(iter(found), None)


async def _claims(
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Where the service keeps results: a name for this request, with which it "
            "can be sent again and is not worked on twice."
        ),
    ] = None,
    content_digest: Annotated[
        str | None,
        Header(
            description="Where the service keeps results: `sha-256=:…:` of the body (RFC 9530), "
            "which is then verified."
        ),
    ] = None,
    repr_digest: Annotated[str | None, Header(description="The same.")] = None,
) -> Claims:
    return Claims(idempotency_key, content_digest, repr_digest)


RequestClaims = Annotated[Claims, Depends(_claims)]


@dataclass(eq=False)
class Result:
    """An answer that is kept."""

    question: Question
    digest: bytes
    """SHA-256 of the body that it was made of."""
    data: bytes
    headers: dict[str, str]
    since: float
    """When it was made (`time.monotonic`)."""
    names: list[Name] = field(default_factory=list)
    readers: int = 0
    """Requests that are answered with it; its memory is in use until they end."""

    @property
    def size(self) -> int:
        """Bytes, roughly."""
        held = [*self.headers, *self.headers.values(), *(name for name, *_ in self.names)]
        return len(self.data) + sum(map(len, held)) + _OVERHEAD * (1 + len(self.names))

    @contextmanager
    def reading(self) -> Iterator[None]:
        """A block in which it is not dropped."""
        self.readers += 1
        try:
            yield
        finally:
            self.readers -= 1


class ResultCache:
    """Results of at most `max_bytes` together, each for at most `seconds`; the oldest go first."""

    def __init__(self, max_bytes: int, seconds: float, clock: Callable[[], float] = time.monotonic):
        self._max_bytes = max_bytes
        self._seconds = seconds
        self._clock = clock
        self._results: dict[tuple[Question, bytes], Result] = {}  # the oldest first
        self._names: dict[Name, Result] = {}
        self._in_use: set[Name] = set()
        self.bytes = 0

    @property
    def largest(self) -> int:
        """Bytes of the largest result that is kept."""
        return int(self._max_bytes * _LARGEST)

    def find(self, question: Question, digest: bytes) -> Result | None:
        """What was made of this very request."""
        self._drop_old()
        return self._young(self._results.get((question, digest)))

    def named(self, name: Name) -> Result | None:
        """What was made of the request that had this name."""
        self._drop_old()
        return self._young(self._names.get(name))

    @contextmanager
    def using(self, name: Name) -> Iterator[None]:
        """A block that works on the request of this name. Raises `Problem` 409 where another one
        does."""
        if name in self._in_use:
            detail = "a request with this Idempotency-Key is being worked on"
            raise Problem(ProblemCode.IDEMPOTENCY_IN_USE, detail, retry_after=1)
        self._in_use.add(name)
        try:
            yield
        finally:
            self._in_use.discard(name)

    def make_room(self, size: int) -> bool:
        """Drop the oldest until there are `size` bytes; False where there cannot be."""
        while self.bytes + size > self._max_bytes:
            oldest = next((one for one in self._results.values() if not one.readers), None)
            if oldest is None:
                return False
            self._drop(oldest)
        return True

    def keep(
        self, question: Question, digest: bytes, data: bytes, headers: dict[str, str]
    ) -> Result | None:
        """Keep a result, where there is room."""
        self._drop_old()
        if (there := self.find(question, digest)) is not None:
            return there
        result = Result(question, digest, data, headers, self._clock())
        if result.size > self.largest or not self.make_room(result.size):
            return None
        self._results[question, digest] = result
        self.bytes += result.size
        return result

    def add_name(self, result: Result, name: Name) -> None:
        """Have it found by `name` too, where there is room."""
        if name in self._names:
            return
        with result.reading():
            if not self.make_room(_OVERHEAD + len(name[0])):
                return
        self.bytes -= result.size
        result.names.append(name)
        self.bytes += result.size
        self._names[name] = result

    def _young(self, result: Result | None) -> Result | None:
        return result if result is not None and not self._is_old(result) else None

    def _is_old(self, result: Result) -> bool:
        return self._clock() - result.since > self._seconds

    def _drop_old(self) -> None:
        old = []
        for result in self._results.values():
            if not self._is_old(result):
                break
            if not result.readers:
                old.append(result)
        for result in old:
            self._drop(result)

    def _drop(self, result: Result) -> None:
        self.bytes -= result.size
        del self._results[result.question, result.digest]
        for name in result.names:
            del self._names[name]


@dataclass
class Lookup:
    """What is known of a request: its `result`, or what it takes to keep one."""

    upload: Upload
    """To be read, where there is no result."""
    result: Result | None = None
    cache: ResultCache | None = None
    question: Question = ()
    name: Name | None = None
    body: "_Hashed | None" = None

    def headers(self) -> dict[str, str]:
        """What the answer says of the cache."""
        if self.cache is None:
            return {}
        return {STATE: "miss" if self.result is None else "hit"}

    async def keep(self, size: int, chunks: AsyncIterator[bytes], headers: dict[str, str]) -> None:
        """Keep the answer of `size` bytes, where there is room; the whole upload has been read."""
        if self.cache is None or self.body is None or self.body.digest is None:
            return
        if size > self.cache.largest or not self.cache.make_room(size + _OVERHEAD):
            return
        data = b"".join([chunk async for chunk in chunks])
        result = self.cache.keep(self.question, self.body.digest, data, headers)
        if result is not None and self.name is not None:
            self.cache.add_name(result, self.name)


async def look_up(call: Call, upload: Upload, claims: Claims, parameters: Question) -> Lookup:
    """What is known of a request for `parameters`, which are all that its result depends on but the
    body and its type. A live source is neither looked up nor kept.

    Raises `Problem` 400 where the body is not what the client says, 409 where its `Idempotency-Key`
    is in use and 422 where that was used for another request; and as reading `upload`.
    """
    cache: ResultCache | None = call.request.app.state.results
    if cache is None or upload.live:
        return Lookup(upload)
    headers = call.request.headers
    who = headers.get("x-api-key"), headers.get("authorization")
    question = (parameters, upload.content_type, upload.filename, *who)
    is_multipart = headers.get("content-type", "").strip().lower().startswith("multipart/")
    said = None if is_multipart else claims.digest()  # of the whole body, framing and all
    key = claims.name()
    name = None if key is None else (key, *who)
    named = None if name is None else cache.named(name)
    if named is not None and (named.question != question or said not in (None, named.digest)):
        raise _idempotency_mismatch()
    if name is not None and named is None:
        call.stack.enter_context(cache.using(name))
    found, expected = named, said if named is None else named.digest
    if expected is None:
        upload, expected = await _small(upload)
    if found is None and expected is not None:
        found = cache.find(question, expected)
    body = _Hashed(upload, said)
    upload = replace(upload, chunks=body.chunks())
    if found is None:
        return Lookup(upload, None, cache, question, name, body)
    call.stack.enter_context(found.reading())
    async for _ in upload.chunks:
        pass
    if body.digest != found.digest:
        raise _idempotency_mismatch()
    if name is not None:
        cache.add_name(found, name)
    return Lookup(upload, found, cache)


class _Hashed:
    """An upload, hashed as it is read."""

    def __init__(self, upload: Upload, said: bytes | None):
        self._upload = upload
        self._said = said
        self.digest: bytes | None = None
        """Once all of it has been read."""

    async def chunks(self) -> AsyncGenerator[bytes]:
        """Raises `Problem` 400 at the end of one that is not what was said."""
        digest = sha256()
        async for chunk in self._upload.chunks:
            digest.update(chunk)
            yield chunk
        self.digest = digest.digest()
        if self._said not in (None, self.digest):
            raise _digest_mismatch("the body is not what its digest says")


async def _small(upload: Upload) -> tuple[Upload, bytes | None]:
    """The same upload, and its SHA-256 where it is small."""
    first, size = [], 0
    async for chunk in upload.chunks:
        first.append(chunk)
        size += len(chunk)
        if size > _SMALL:
            break

    async def chunks() -> AsyncGenerator[bytes]:
        for chunk in first:
            yield chunk
        async for chunk in upload.chunks:
            yield chunk

    digest = sha256(b"".join(first)).digest() if size <= _SMALL else None
    return replace(upload, chunks=chunks()), digest


def _digest_mismatch(detail: str) -> Problem:
    return Problem(ProblemCode.DIGEST_MISMATCH, detail)


def _idempotency_mismatch() -> Problem:
    detail = "this Idempotency-Key was used for another body or other parameters"
    return Problem(ProblemCode.IDEMPOTENCY_MISMATCH, detail)
