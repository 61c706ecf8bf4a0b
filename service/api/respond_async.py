"""`Prefer: respond-async` (RFC 7240) on a call that takes a file: it is answered with a job."""

from dataclasses import dataclass
from typing import Annotated
from urllib.parse import urlencode

from fastapi import Depends, Header, Query, Request, Response

from ..http.problems import Problem, ProblemCode, wrong_parameters
from ..jobs.job import Order
from ..jobs.jobs import Jobs
from ..jobs.urls import AllowedUrls
from ..pipeline.call import Call
from ..pipeline.lookup import Claims, RequestClaims
from ..pipeline.upload import Upload
from .jobs import Owner, job_response
from .responses import accepted

_PREFERENCE = "respond-async"


@dataclass(frozen=True)
class Wish:
    """What a client asks of the way of its answer."""

    jobs: Jobs | None
    """None where it is to be answered at once."""
    owner: str
    claims: Claims
    source: str | None
    destination: str | None
    webhook: str | None


async def _wish(
    request: Request,
    owner: Owner,
    claims: RequestClaims,
    prefer: Annotated[
        str | None,
        Header(description="Where the service keeps jobs: `respond-async` to be answered by one."),
    ] = None,
    source: Annotated[
        str | None,
        Query(description="With `respond-async`: the URL of the input, in place of the body."),
    ] = None,
    destination: Annotated[
        str | None,
        Query(description="With `respond-async`: a URL in a bucket where the result is put too."),
    ] = None,
    webhook: Annotated[
        str | None,
        Query(description="With `respond-async`: the URL that is told, signed, of the job's end."),
    ] = None,
) -> Wish:
    """Raises `Problem` 422 for what only a job can have, and 403 for URLs that are not allowed."""
    preferences = request.headers.getlist("prefer")
    names = {one.partition(";")[0].strip().lower() for p in preferences for one in p.split(",")}
    jobs: Jobs | None = request.app.state.jobs if _PREFERENCE in names else None
    urls = {"source": source, "destination": destination, "webhook": webhook}
    given = [name for name, url in urls.items() if url is not None]
    if given and jobs is None:
        message = f"only with Prefer: {_PREFERENCE}, where the service keeps jobs"
        raise wrong_parameters(dict.fromkeys(given, message))
    settings = request.app.state.settings
    allowed = {
        "source": settings.input_urls,
        "destination": settings.output_urls,
        "webhook": settings.webhook_urls,
    }
    for name, url in urls.items():
        if url is None:
            continue
        try:
            AllowedUrls(allowed[name]).check(url)
        except Problem as problem:
            raise Problem(problem.code, f"{name}: {problem.detail}") from None
    return Wish(jobs, owner, claims, source, destination, webhook)


RequestWish = Annotated[Wish, Depends(_wish)]


async def respond_async(call: Call, wish: Wish, live: bool = False) -> Response | None:
    """The answer to a client that wants a job: 202, as soon as its upload is there. None for one
    that does not. Raises as `Jobs.submit`."""
    if wish.jobs is None:
        return None
    request = call.request
    own = ("source", "destination", "webhook")
    query = [(name, text) for name, text in request.query_params.multi_items() if name not in own]
    order = Order(
        owner=wish.owner,
        path=request.url.path.removesuffix("/upload"),
        query=urlencode(query),
        accept=accepted(request),
        source=wish.source,
        destination=wish.destination,
        webhook=wish.webhook,
        idempotency_key=wish.claims.name(),
    )
    upload = said = None
    if wish.source is None:
        upload = await call.upload(live)
        is_multipart = "multipart/" in request.headers.get("content-type", "").lower()
        said = None if is_multipart else wish.claims.digest()
    else:
        await _require_no_body(await call.upload())
    job = await wish.jobs.submit(order, upload, said)
    headers = {"Location": f"/jobs/{job.id}", "Preference-Applied": _PREFERENCE}
    return job_response(job, 202, headers)


async def _require_no_body(upload: Upload) -> None:
    """Raises `Problem` where there is a byte of one, or where its end does not come."""
    try:
        await anext(upload.chunks)
    except Problem as problem:
        if problem.code is not ProblemCode.EMPTY_BODY:
            raise
    else:
        raise Problem(ProblemCode.BAD_REQUEST, "with `source`, the body must be empty")
