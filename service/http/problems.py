"""Every error the service answers with: its code, its HTTP status and its title, in one table.

Errors are `application/problem+json` (RFC 9457). A call raises `Problem`; what other errors are to
the client is said in `api.errors`.
"""

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from enum import StrEnum
from typing import Self

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

PROBLEM_JSON = "application/problem+json"
RETRY_AFTER = 2
"""Seconds after which a client may try again, where nothing better is known."""


class ProblemCode(StrEnum):
    """What went wrong, for programs: these never change their meaning."""

    status: int
    summary: str
    """The kind of problem, for people."""

    def __new__(cls, code: str, status: int, summary: str) -> Self:
        member = str.__new__(cls, code)
        member._value_ = code
        member.status = status
        member.summary = summary
        return member

    BAD_REQUEST = ("bad_request", 400, "The request cannot be read")
    EMPTY_BODY = ("empty_body", 400, "The body is empty")
    UNDECODABLE_AUDIO = ("undecodable_audio", 400, "The audio cannot be decoded")
    BROKEN_ECDC = ("broken_ecdc", 400, "The .ecdc file is broken")
    TRUNCATED_ECDC = ("truncated_ecdc", 400, "The .ecdc file ends too early")
    DIGEST_MISMATCH = ("digest_mismatch", 400, "The body is not what its digest says")
    UNAUTHORIZED = ("unauthorized", 401, "A valid API key is needed")
    FOREIGN_ORIGIN = ("foreign_origin", 403, "Pages of this origin may not connect")
    URL_FORBIDDEN = ("url_forbidden", 403, "This URL is not allowed")
    NOT_FOUND = ("not_found", 404, "There is nothing at this path")
    METHOD_NOT_ALLOWED = ("method_not_allowed", 405, "The path does not take this method")
    NOT_ACCEPTABLE = ("not_acceptable", 406, "None of the accepted formats is offered")
    CLIENT_TOO_SLOW = ("client_too_slow", 408, "The body came too slowly")
    WEIGHTS_UNAVAILABLE = ("weights_unavailable", 409, "The weights are not available here")
    LM_UNAVAILABLE = ("lm_unavailable", 409, "The language model is not available here")
    RELAY_TAKEN = ("relay_taken", 409, "The relay has a speaker already")
    IDEMPOTENCY_IN_USE = ("idempotency_in_use", 409, "The same request is being worked on")
    JOB_NOT_DONE = ("job_not_done", 409, "The job has no result")
    TOO_LARGE = ("too_large", 413, "The body is too large")
    TOO_LONG = ("too_long", 413, "The audio is too long")
    UNSUPPORTED_MEDIA_TYPE = ("unsupported_media_type", 415, "The content type is not supported")
    RANGE_NOT_SATISFIABLE = ("range_not_satisfiable", 416, "The range begins behind the end")
    BAD_PARAMETER = ("bad_parameter", 422, "A parameter is wrong")
    UNKNOWN_MODEL = ("unknown_model", 422, "There is no such model")
    UNSUPPORTED_BANDWIDTH = ("unsupported_bandwidth", 422, "The model has no such bandwidth")
    IDEMPOTENCY_MISMATCH = ("idempotency_mismatch", 422, "The key belongs to another request")
    UPGRADE_REQUIRED = ("upgrade_required", 426, "The path is for WebSockets")
    BUSY = ("busy", 429, "The service is full")
    QUOTA_EXCEEDED = ("quota_exceeded", 429, "The limits of the API key are reached")
    HEAD_TOO_LARGE = ("head_too_large", 431, "The head of the request is too large")
    INTERNAL_ERROR = ("internal_error", 500, "The service failed")
    VERIFICATION_FAILED = ("verification_failed", 500, "What was coded does not decode")
    JOB_INTERRUPTED = ("job_interrupted", 500, "The job was interrupted too often")
    URL_FAILED = ("url_failed", 502, "What the URL names could not be read or written")
    STARTING = ("starting", 503, "The service is starting")
    UNAVAILABLE = ("unavailable", 503, "The service cannot work")
    SHUTTING_DOWN = ("shutting_down", 503, "The service is stopping")
    WAITED_TOO_LONG = ("waited_too_long", 504, "The request waited too long for its turn")
    INSUFFICIENT_STORAGE = ("insufficient_storage", 507, "The disk takes no more")


class ParameterProblem(BaseModel):
    """What is wrong with one parameter."""

    model_config = ConfigDict(use_attribute_docstrings=True)

    name: str
    """The parameter's name."""
    location: str
    """Where it is: `query`, `path`, `header` or `body`."""
    message: str
    """What is wrong with it."""


class ProblemDocument(BaseModel):
    """A problem document (RFC 9457): the body of every error."""

    model_config = ConfigDict(
        use_attribute_docstrings=True,
        json_schema_extra={
            "examples": [
                {
                    "type": "urn:encodec:problem:unsupported_bandwidth",
                    "title": "The model has no such bandwidth",
                    "status": 422,
                    "detail": "encodec_48khz has no bandwidth of 1.5 kbps; it has 3, 6, 12, 24",
                    "code": "unsupported_bandwidth",
                }
            ]
        },
    )

    type: str
    """A URI for the kind of problem: `urn:encodec:problem:` and the code."""
    title: str
    """The kind of problem, for people."""
    status: int = Field(ge=400, le=599)
    """The HTTP status."""
    detail: str
    """This very problem, for people."""
    code: ProblemCode
    """The kind of problem, for programs."""
    errors: list[ParameterProblem] | None = None
    """Each wrong parameter, where parameters are wrong."""


class Problem(Exception):  # noqa: N818  it is what the client is shown
    """An error for the client. Raise it anywhere below a call."""

    def __init__(
        self,
        code: ProblemCode,
        detail: str | None = None,
        *,
        retry_after: int | None = None,
        errors: list[ParameterProblem] | None = None,
        headers: dict[str, str] | None = None,
    ):
        """`retry_after` in seconds; 429, 503 and 507 always carry one."""
        self.code = code
        self.status = code.status
        self.detail = detail or code.summary
        self.errors = errors
        self.headers = dict(headers or {})
        if retry_after is None and self.status in (429, 503, 507):
            retry_after = RETRY_AFTER
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        if self.status == 401:
            self.headers.setdefault("WWW-Authenticate", "Bearer")
        super().__init__(self.detail)

    def document(self) -> ProblemDocument:
        return ProblemDocument(
            type=f"urn:encodec:problem:{self.code}",
            title=self.code.summary,
            status=self.status,
            detail=self.detail,
            code=self.code,
            errors=self.errors,
        )


def wrong_parameters(
    messages: Mapping[str, str], location: str = "query", detail: str | None = None
) -> Problem:
    """The 422 of parameters, each with what is wrong with it, which is `detail` by default."""
    errors = [
        ParameterProblem(name=name, location=location, message=message)
        for name, message in messages.items()
    ]
    every = "; ".join(f"{name}: {message}" for name, message in messages.items())
    return Problem(ProblemCode.BAD_PARAMETER, detail or every, errors=errors)


def check_names(names: Sequence[str], known: Collection[str]) -> None:
    """Raises `Problem` 422 for names of parameters that are not `known`, or there twice."""
    if unknown := sorted({name[:100] for name in names} - set(known)):
        there_are = f"there {'are' if len(known) > 1 else 'is'} {', '.join(sorted(known))}"
        message = there_are if known else "there are none"
        detail = f"no parameter {', '.join(map(repr, unknown))}; {message}"
        raise wrong_parameters(dict.fromkeys(unknown, message), detail=detail)
    if repeated := sorted(name for name, count in Counter(names).items() if count > 1):
        raise wrong_parameters(dict.fromkeys(repeated, "it is given more than once"))


def problem_response(problem: Problem) -> Response:
    """The response that carries it."""
    body = problem.document().model_dump_json(exclude_none=True)
    return Response(body, problem.status, problem.headers, media_type=PROBLEM_JSON)
