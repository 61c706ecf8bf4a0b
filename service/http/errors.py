"""Every error that a request can end in, answered with a problem document."""

import asyncio
from collections.abc import Callable, Iterable
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from .problems import ParameterProblem, Problem, ProblemCode, problem_response

logger = structlog.get_logger(__name__)

ToProblem = Callable[[Exception], Problem]
"""What an error is to the client."""

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


def install(app: FastAPI, to_problem: ToProblem, known: Iterable[type[Exception]]) -> None:
    """Answer errors of the types `known`, and those that the framework raises by itself, with
    problem documents. All others are the `ErrorMiddleware`'s."""

    async def on_known(request: Request, error: Exception) -> Response:
        return problem_response(to_problem(error))

    for kind in known:
        app.add_exception_handler(kind, on_known)
    app.add_exception_handler(RequestValidationError, _on_invalid)
    app.add_exception_handler(HTTPException, _on_http)


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
    has_no_detail = error.detail == HTTPStatus(error.status_code).phrase
    detail = f"{request.method} {request.url.path}" if has_no_detail else error.detail
    headers = dict(error.headers or {})
    if "Allow" in headers:
        headers["Allow"] = _allowed(headers["Allow"])
    return problem_response(Problem(code, detail, headers=headers))


def _allowed(methods: str) -> str:
    """All methods that a path takes, sorted. The router names those of one of its routes; HEAD,
    which works wherever GET does, may have a route of its own."""
    names = set(methods.split(", "))
    return ", ".join(sorted(names | {"HEAD"} if "GET" in names else names))


class ErrorMiddleware:
    """The last resort for errors that no handler knows.

    Answers with a problem where no answer has begun. One that has begun is cut off: the server
    closes the connection of an answer that is not completed.
    """

    def __init__(self, app: ASGIApp, to_problem: ToProblem, stopping: Callable[[], bool]):
        """`stopping`: whether the service stops; a request that is cancelled then has used up its
        grace."""
        self._app = app
        self._to_problem = to_problem
        self._stopping = stopping

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
        except ClientDisconnect:
            logger.info("the client has gone")
        except asyncio.CancelledError:
            if not self._stopping():
                raise
            logger.warning("cut short, as the service stops", cut_off=started)
            if not started:
                await problem_response(Problem(ProblemCode.SHUTTING_DOWN))(scope, receive, send)
        except Exception as error:
            problem = self._to_problem(_cause(error))
            if problem.code is ProblemCode.INTERNAL_ERROR:
                logger.exception("unexpected error", path=scope["path"], cut_off=started)
                if started:
                    raise
            else:
                logger.error(
                    "the request failed",
                    code=problem.code,
                    error=str(_cause(error)),
                    cut_off=started,
                )
            if not started:
                await problem_response(problem)(scope, receive, send)


def _cause(error: Exception) -> Exception:
    """What happened: the framework wraps an error it knows when the answer has begun."""
    cause = error.__cause__
    return cause if isinstance(error, RuntimeError) and isinstance(cause, Exception) else error
