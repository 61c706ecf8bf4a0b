"""Every error the service answers with: its code, its HTTP status and its title, in one table.

Errors are `application/problem+json` (RFC 9457). A call raises `Problem`; what other errors are to
the client is said in `api.errors`.
"""

from enum import StrEnum
from typing import Any, NamedTuple

from fastapi import Response
from pydantic import BaseModel, ConfigDict, Field

PROBLEM_JSON = "application/problem+json"
TYPE_PREFIX = "urn:encodec:problem:"
RETRY_AFTER = 2
"""Seconds after which a client may try again, where nothing better is known."""


class ProblemCode(StrEnum):
    """What went wrong, for programs: these never change their meaning."""

    BAD_REQUEST = "bad_request"
    EMPTY_BODY = "empty_body"
    UNDECODABLE_AUDIO = "undecodable_audio"
    BROKEN_ECDC = "broken_ecdc"
    TRUNCATED_ECDC = "truncated_ecdc"
    UNAUTHORIZED = "unauthorized"
    NOT_FOUND = "not_found"
    METHOD_NOT_ALLOWED = "method_not_allowed"
    NOT_ACCEPTABLE = "not_acceptable"
    CLIENT_TOO_SLOW = "client_too_slow"
    WEIGHTS_UNAVAILABLE = "weights_unavailable"
    LM_UNAVAILABLE = "lm_unavailable"
    TOO_LARGE = "too_large"
    TOO_LONG = "too_long"
    UNSUPPORTED_MEDIA_TYPE = "unsupported_media_type"
    BAD_PARAMETER = "bad_parameter"
    UNKNOWN_MODEL = "unknown_model"
    UNSUPPORTED_BANDWIDTH = "unsupported_bandwidth"
    BUSY = "busy"
    INTERNAL_ERROR = "internal_error"
    STARTING = "starting"
    UNAVAILABLE = "unavailable"
    SHUTTING_DOWN = "shutting_down"
    WAITED_TOO_LONG = "waited_too_long"
    INSUFFICIENT_STORAGE = "insufficient_storage"


class ProblemKind(NamedTuple):
    """What all problems of one code have in common."""

    status: int
    title: str


PROBLEMS: dict[ProblemCode, ProblemKind] = {
    ProblemCode.BAD_REQUEST: ProblemKind(400, "The request cannot be read"),
    ProblemCode.EMPTY_BODY: ProblemKind(400, "The body is empty"),
    ProblemCode.UNDECODABLE_AUDIO: ProblemKind(400, "The audio cannot be decoded"),
    ProblemCode.BROKEN_ECDC: ProblemKind(400, "The .ecdc file is broken"),
    ProblemCode.TRUNCATED_ECDC: ProblemKind(400, "The .ecdc file ends too early"),
    ProblemCode.UNAUTHORIZED: ProblemKind(401, "An API key is needed"),
    ProblemCode.NOT_FOUND: ProblemKind(404, "There is nothing at this path"),
    ProblemCode.METHOD_NOT_ALLOWED: ProblemKind(405, "The path does not take this method"),
    ProblemCode.NOT_ACCEPTABLE: ProblemKind(406, "None of the accepted formats is offered"),
    ProblemCode.CLIENT_TOO_SLOW: ProblemKind(408, "The body came too slowly"),
    ProblemCode.WEIGHTS_UNAVAILABLE: ProblemKind(409, "The weights are not available here"),
    ProblemCode.LM_UNAVAILABLE: ProblemKind(409, "The language model is not available here"),
    ProblemCode.TOO_LARGE: ProblemKind(413, "The body is too large"),
    ProblemCode.TOO_LONG: ProblemKind(413, "The audio is too long"),
    ProblemCode.UNSUPPORTED_MEDIA_TYPE: ProblemKind(415, "The content type is not supported"),
    ProblemCode.BAD_PARAMETER: ProblemKind(422, "A parameter is wrong"),
    ProblemCode.UNKNOWN_MODEL: ProblemKind(422, "There is no such model"),
    ProblemCode.UNSUPPORTED_BANDWIDTH: ProblemKind(422, "The model has no such bandwidth"),
    ProblemCode.BUSY: ProblemKind(429, "The service is full"),
    ProblemCode.INTERNAL_ERROR: ProblemKind(500, "The service failed"),
    ProblemCode.STARTING: ProblemKind(503, "The service is starting"),
    ProblemCode.UNAVAILABLE: ProblemKind(503, "The service cannot work"),
    ProblemCode.SHUTTING_DOWN: ProblemKind(503, "The service is stopping"),
    ProblemCode.WAITED_TOO_LONG: ProblemKind(504, "The request waited too long for its turn"),
    ProblemCode.INSUFFICIENT_STORAGE: ProblemKind(507, "The disk is full"),
}


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
        """`retry_after` in seconds; 429 and 503 always carry one."""
        self.code = code
        self.status = PROBLEMS[code].status
        self.detail = detail or PROBLEMS[code].title
        self.errors = errors
        self.headers = dict(headers or {})
        if retry_after is None and self.status in (429, 503):
            retry_after = RETRY_AFTER
        if retry_after is not None:
            self.headers["Retry-After"] = str(retry_after)
        if self.status == 401:
            self.headers["WWW-Authenticate"] = "Bearer"
        super().__init__(self.detail)

    def document(self) -> ProblemDocument:
        return ProblemDocument(
            type=TYPE_PREFIX + self.code,
            title=PROBLEMS[self.code].title,
            status=self.status,
            detail=self.detail,
            code=self.code,
            errors=self.errors,
        )


def problem_response(problem: Problem) -> Response:
    """The response that carries it."""
    body = problem.document().model_dump_json(exclude_none=True)
    return Response(body, problem.status, problem.headers, media_type=PROBLEM_JSON)


def problem_responses(*codes: ProblemCode) -> dict[int | str, dict[str, Any]]:
    """The `responses=` of a route that answers with these problems, by status."""
    statuses: dict[int, list[ProblemCode]] = {}
    for code in sorted(codes, key=list(ProblemCode).index):
        statuses.setdefault(PROBLEMS[code].status, []).append(code)
    return {status: _response(status, statuses[status]) for status in sorted(statuses)}


def _response(status: int, codes: list[ProblemCode]) -> dict[str, Any]:
    response: dict[str, Any] = {
        "description": "; ".join(f"{PROBLEMS[code].title} (`{code}`)" for code in codes),
        "content": {PROBLEM_JSON: {"schema": {"$ref": "#/components/schemas/ProblemDocument"}}},
    }
    for name, (kind, text) in _HEADERS.get(status, {}).items():
        response.setdefault("headers", {})[name] = {"description": text, "schema": {"type": kind}}
    return response


_RETRY = {"Retry-After": ("integer", "Seconds to wait before the next attempt.")}
_HEADERS = {
    401: {"WWW-Authenticate": ("string", "`Bearer`.")},
    429: _RETRY,
    503: _RETRY,
}
