"""`/jobs`: what has become of long work, and its results."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Path, Query, Request, Response
from fastapi.responses import JSONResponse
from pydantic import BaseModel, ConfigDict, Field

from ..http.auth import key_of
from ..http.conditional import file_or_part, is_known
from ..http.documentation import header, problem_responses
from ..http.problems import Problem, ProblemCode, ProblemDocument
from ..jobs.job import FINISHED, Job, State, document
from ..jobs.jobs import Jobs
from . import routes
from .responses import ECDC_TYPES
from .routes import known_parameters

router = APIRouter(tags=["jobs"])


def _owner(request: Request) -> str:
    return key_of(request).owner


Owner = Annotated[str, Depends(_owner)]
"""Whose a call is; empty where the service has no keys."""
_Id = Annotated[str, Path(max_length=100, description="As the answer to the call said it.")]
_POLL = 1
"""s after which a client may look again."""


class _Documented(BaseModel):
    model_config = ConfigDict(use_attribute_docstrings=True)


class JobProgress(_Documented):
    """How far a job is."""

    seconds: float
    """Of audio that are done."""
    share: float | None
    """0 to 1; null where the audio does not say how long it is."""


class JobLinks(_Documented):
    """Paths of the job."""

    self: str
    result: str | None = None
    """Once it is done."""


class JobDocument(_Documented):
    """A job."""

    id: str
    """Whoever knows it may see the job, with the API key that it was asked for with, if any."""
    call: Literal["compress", "decompress", "roundtrip"]
    state: Literal["queued", "running", "done", "failed", "cancelled"]
    """A job that was interrupted is queued again."""
    progress: JobProgress
    created: str
    """RFC 3339, as all times."""
    started: str | None
    finished: str | None
    expires: str | None
    """When it is forgotten, once it has ended."""
    input_bytes: int | None
    """Of the upload."""
    result_bytes: int | None
    destination: str | None
    """Where the result was to be put."""
    webhook: Literal["pending", "delivered", "failed"] | None
    """Whether it has been told."""
    problem: ProblemDocument | None
    """Why it failed."""
    links: JobLinks


class JobList(_Documented):
    """Jobs."""

    jobs: list[JobDocument] = Field(max_length=100)
    """The latest first."""


def job_response(job: Job, status: int = 200, headers: dict[str, str] | None = None) -> Response:
    """The job as JSON; where it has not ended, with when to look again."""
    found = {"Cache-Control": "no-store"} | (headers or {})
    if job.state not in FINISHED:
        found["Retry-After"] = str(_POLL)
    return JSONResponse(document(job), status, found)


def require_jobs(request: Request) -> Jobs:
    """Raises `Problem` 404 where the service keeps none."""
    jobs: Jobs | None = request.app.state.jobs
    if jobs is None:
        raise Problem(ProblemCode.NOT_FOUND, "this service keeps no jobs")
    return jobs


OpenJobs = Annotated[Jobs, Depends(require_jobs)]
_PROBLEMS = (
    ProblemCode.UNAUTHORIZED,
    ProblemCode.NOT_FOUND,
    ProblemCode.BAD_PARAMETER,
    ProblemCode.INTERNAL_ERROR,
    ProblemCode.UNAVAILABLE,
)
JOB_HEADERS = header("Retry-After", "integer", "Seconds after which to look again.")
_checked = [Depends(known_parameters)]


@router.head("/jobs", include_in_schema=False)
@router.get(
    "/jobs",
    operation_id="listJobs",
    summary="The jobs of an API key",
    dependencies=_checked,
    response_model=JobList,
    responses=problem_responses(*_PROBLEMS),
)
async def list_jobs(
    jobs: OpenJobs,
    owner: Owner,
    limit: Annotated[int, Query(description="At most so many.", ge=1, le=100)] = 20,
) -> Response:
    """The latest first. Where the service has no API keys, nothing says whose a job is, and there
    is no list."""
    if not owner:
        raise Problem(ProblemCode.NOT_FOUND, "jobs are listed only where there are API keys")
    documents = [document(job) for job in await jobs.owned(owner, limit)]
    return JSONResponse({"jobs": documents}, headers={"Cache-Control": "no-store"})


@router.head("/jobs/{id}", include_in_schema=False)
@router.get(
    "/jobs/{id}",
    operation_id="getJob",
    summary="A job",
    dependencies=_checked,
    response_model=JobDocument,
    responses={200: {"headers": JOB_HEADERS}, **problem_responses(*_PROBLEMS)},
)
async def get_job(jobs: OpenJobs, owner: Owner, id: _Id) -> Response:
    """Its state, and how far it is."""
    return job_response(await jobs.find(owner, id))


@router.delete(
    "/jobs/{id}",
    operation_id="deleteJob",
    summary="Cancel or forget a job",
    dependencies=_checked,
    status_code=204,
    response_class=Response,
    responses=problem_responses(*_PROBLEMS),
)
async def delete_job(jobs: OpenJobs, owner: Owner, id: _Id) -> Response:
    """One that has not ended is cancelled; one that has is forgotten with its result."""
    await jobs.delete(await jobs.find(owner, id))
    return Response(status_code=204)


_FAILURES = (
    *routes.AUDIO_PROBLEMS,
    *routes.ECDC_PROBLEMS,
    ProblemCode.VERIFICATION_FAILED,
    ProblemCode.URL_FORBIDDEN,
    ProblemCode.URL_FAILED,
    ProblemCode.JOB_INTERRUPTED,
)
"""With which jobs fail."""
_BINARY = {name: {"schema": routes.binary(name)} for name in (*ECDC_TYPES, *routes.OUTPUT_TYPES)}


@router.head("/jobs/{id}/result", include_in_schema=False)
@router.get(
    "/jobs/{id}/result",
    operation_id="getJobResult",
    summary="What a job has made",
    dependencies=_checked,
    response_class=Response,
    responses={
        200: {
            "description": "The answer of the call, with its headers",
            "content": _BINARY,
            "headers": header("ETag", "string", "Of the result."),
        },
        206: {"description": "The bytes that `Range` asks for", "content": _BINARY},
        304: {"description": "The client has this result"},
        **problem_responses(
            *_PROBLEMS, *_FAILURES, ProblemCode.JOB_NOT_DONE, ProblemCode.RANGE_NOT_SATISFIABLE
        ),
    },
)
async def get_result(request: Request, jobs: OpenJobs, owner: Owner, id: _Id) -> Response:
    """As the call itself would have answered: with its problem where the job failed."""
    job = await jobs.find(owner, id)
    if job.problem is not None:
        failed = ProblemDocument.model_validate(job.problem)
        raise Problem(failed.code, failed.detail, errors=failed.errors)
    if job.state is not State.DONE or job.headers is None or job.etag is None:
        wait = None if job.state in FINISHED else _POLL
        raise Problem(ProblemCode.JOB_NOT_DONE, f"the job is {job.state}", retry_after=wait)
    kept = {"ETag": job.etag, "Cache-Control": "private, no-cache"}
    if "vary" in job.headers:
        kept["vary"] = "Accept"  # where CORS adds `Origin` to every answer, it did to the kept one
    if is_known(request, job.etag):
        return Response(status_code=304, headers=kept)
    try:
        return file_or_part(request, jobs.result(job), job.headers | kept, job.result_bytes)
    except FileNotFoundError:
        raise Problem(ProblemCode.NOT_FOUND, "the result has just been forgotten") from None
