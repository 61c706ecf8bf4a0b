"""Turns every exception a request can end in into a problem document."""

import errno
from http import HTTPStatus

from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException

from model_core.errors import EncodecError

from .decoder.protocol import DecoderError
from .problems import PROBLEM_JSON, ParameterProblem, Problem, ProblemCode
from .scheduler import SchedulerError

_FROM_STATUS = {
    400: ProblemCode.BAD_REQUEST,
    401: ProblemCode.UNAUTHORIZED,
    404: ProblemCode.NOT_FOUND,
    405: ProblemCode.METHOD_NOT_ALLOWED,
    406: ProblemCode.NOT_ACCEPTABLE,
    413: ProblemCode.TOO_LARGE,
    415: ProblemCode.UNSUPPORTED_MEDIA_TYPE,
    422: ProblemCode.BAD_PARAMETER,
}
_NO_SPACE = (errno.ENOSPC, errno.EDQUOT)
_NO_DESCRIPTORS = (errno.EMFILE, errno.ENFILE)


def problem_response(problem: Problem) -> Response:
    """The response that says it."""
    body = problem.document().model_dump_json(exclude_none=True)
    return Response(body, problem.status, problem.headers, media_type=PROBLEM_JSON)


def install(app: FastAPI) -> None:
    """Have the app answer with problem documents. Unexpected errors are `boundary`'s."""
    app.add_exception_handler(Problem, _on_known)
    app.add_exception_handler(EncodecError, _on_known)
    app.add_exception_handler(SchedulerError, _on_known)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


async def _on_known(request: Request, error: Exception) -> Response:
    return problem_response(as_problem(error))


def as_problem(error: Exception) -> Problem:
    """What an error is to the client; those of the queue, the decoding processes and the disk
    too."""
    if isinstance(error, SchedulerError):
        code = ProblemCode.SHUTTING_DOWN if error.stopping else ProblemCode.UNAVAILABLE
        return Problem(code, str(error))
    if isinstance(error, DecoderError):
        return Problem(ProblemCode.UNAVAILABLE, str(error))
    if isinstance(error, OSError) and error.errno in _NO_SPACE:
        detail = "there is no room on the disk for what the request needs"
        return Problem(ProblemCode.INSUFFICIENT_STORAGE, detail)
    if isinstance(error, OSError) and error.errno in _NO_DESCRIPTORS:
        return Problem(ProblemCode.UNAVAILABLE, "the server has too many files open")
    return Problem.from_exception(error)


async def _on_invalid(request: Request, error: Exception) -> Response:
    """422, with the name of every parameter that is wrong."""
    found = error.errors() if isinstance(error, RequestValidationError) else []
    errors = [
        ParameterProblem(
            name=".".join(str(part) for part in item["loc"][1:]) or str(item["loc"][0]),
            location=str(item["loc"][0]),
            message=item["msg"],
        )
        for item in found
    ]
    detail = "; ".join(f"{e.name}: {e.message}" for e in errors)
    return problem_response(Problem(ProblemCode.BAD_PARAMETER, detail, errors=errors))


async def _on_http(request: Request, error: Exception) -> Response:
    """What the framework refuses by itself: no such path, no such method, an unreadable form."""
    if not isinstance(error, HTTPException):
        raise TypeError(f"not an HTTP error: {error!r}")
    code = _FROM_STATUS.get(error.status_code, ProblemCode.INTERNAL_ERROR)
    said_nothing = error.detail == HTTPStatus(error.status_code).phrase
    detail = f"{request.method} {request.url.path}" if said_nothing else error.detail
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = _allowed(headers["Allow"])
    return problem_response(Problem(code, detail, headers=headers))


def _allowed(methods: str) -> str:
    """All that a path takes, in one order. The router names the methods of one of its routes;
    HEAD, which works wherever GET does, may have a route of its own."""
    names = set(methods.split(", "))
    return ", ".join(sorted(names | {"HEAD"} if "GET" in names else names))
