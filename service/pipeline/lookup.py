"""Whether the result of a request is there already; off unless `result_cache_bytes` is set.

A request is answered without a permit and without the networks where the hash of its body is known
before the body is worked on: because the client says it (`Content-Digest`), because
it repeats an `Idempotency-Key`, or because the body is small and all there. The body is read and
hashed all the same: nobody gets a result without having what it was made of.
"""

import re
from base64 import b64decode
from collections.abc import AsyncGenerator, AsyncIterator
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Annotated

from fastapi import Depends, Header

from ..http.problems import Problem, ProblemCode
from .call import Call
from .result_cache import Name, Question, Result, ResultCache
from .upload import Upload

STATE = "X-Encodec-Cache"
"""The header that says `hit` or `miss`, where there is a cache."""

_SMALL = 1 << 16  # bytes of a body that is hashed before anything else is done

_SHA_256 = re.compile(r"(?:^|,)\s*sha-256=:([A-Za-z0-9+/]{43}=):\s*(?=[;,]|$)")
_NAME = re.compile(r'"?([\x20\x21\x23-\x7e]{1,255})"?')


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
            raise digest_mismatch("Content-Digest and Repr-Digest say different things")
        return next(iter(found), None)


async def _claims(
    idempotency_key: Annotated[
        str | None,
        Header(
            description="Where the service keeps results or jobs: a name for this request, with "
            "which it can be sent again and is not worked on twice."
        ),
    ] = None,
    content_digest: Annotated[
        str | None,
        Header(
            description="Where the service keeps results or jobs: `sha-256=:…:` of the body "
            "(RFC 9530), which is then verified."
        ),
    ] = None,
    repr_digest: Annotated[str | None, Header(description="The same.")] = None,
) -> Claims:
    return Claims(idempotency_key, content_digest, repr_digest)


RequestClaims = Annotated[Claims, Depends(_claims)]


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
        if not self.cache.make_room(size):
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
    who = _stand_in(headers.get("x-api-key"), headers.get("authorization"))
    question = (parameters, _stand_in(upload.content_type, upload.filename), who)
    is_multipart = headers.get("content-type", "").strip().lower().startswith("multipart/")
    said = None if is_multipart else claims.digest()  # of the whole body, framing and all
    key = claims.name()
    name = None if key is None else (key, who)
    named = None if name is None else cache.named(name)
    if named is not None and (named.question != question or said not in (None, named.digest)):
        raise idempotency_mismatch()
    if name is not None and named is None:
        call.stack.enter_context(cache.using(name))
    found, expected = named, said if named is None else named.digest
    if expected is None:
        upload = await upload.begin(_SMALL + 1)
        expected = sha256(upload.head).digest() if len(upload.head) <= _SMALL else None
    if found is None and expected is not None:
        found = cache.find(question, expected)
    body = _Hashed(upload, said)
    upload = replace(upload, chunks=body.chunks())
    state = "miss" if found is None else "hit"
    call.request.app.state.metrics.results.labels(state).inc()
    if found is None:
        return Lookup(upload, None, cache, question, name, body)
    call.stack.enter_context(found.reading())
    async for _ in upload.chunks:
        pass
    if body.digest != found.digest:
        raise idempotency_mismatch()
    if name is not None:
        cache.add_name(found, name)
    return Lookup(upload, found, cache)


def _stand_in(*said: str | None) -> str:
    """What stands for what a client says, which may be long, or a secret."""
    return sha256(repr(said).encode()).hexdigest()


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
            raise digest_mismatch("the body is not what its digest says")


def digest_mismatch(detail: str) -> Problem:
    """The problem of a body that is not what was said."""
    return Problem(ProblemCode.DIGEST_MISMATCH, detail)


def idempotency_mismatch() -> Problem:
    """The problem of a key that names another request."""
    detail = "this Idempotency-Key was used for another body or other parameters"
    return Problem(ProblemCode.IDEMPOTENCY_MISMATCH, detail)
