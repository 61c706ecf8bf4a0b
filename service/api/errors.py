"""Every error that a request can end in, answered with a problem document."""

import asyncio
import errno
from collections.abc import Sequence
from functools import partial
from http import HTTPStatus

import structlog
from fastapi import FastAPI, Request, Response
from fastapi.exceptions import RequestValidationError
from starlette.datastructures import MutableHeaders
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, HTTPConnection
from starlette.routing import BaseRoute, Match, Route
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from model_core import errors as codec_errors

from ..decoder.protocol import DecoderError
from ..http.auth import key_of
from ..http.problems import ParameterProblem, Problem, ProblemCode, problem_response
from ..http.request_stats import request_stats, shortened
from ..inference.admission import Admission
from ..inference.scheduler import SchedulerError

logger = structlog.get_logger(__name__)

_EXPECTED = (Problem, codec_errors.EncodecError, SchedulerError)
"""Errors whose answers need no line in the log beside that of the request."""

_FAULTS = (ProblemCode.VERIFICATION_FAILED,)
"""Of this machine: these do need one."""

# The first that fits decides, so subclasses come before their bases.
_FROM_CODEC: tuple[tuple[type[codec_errors.EncodecError], ProblemCode], ...] = (
    (codec_errors.AudioTooLongError, ProblemCode.TOO_LONG),
    (codec_errors.InvalidAudioError, ProblemCode.UNDECODABLE_AUDIO),
    (codec_errors.UnsupportedBandwidthError, ProblemCode.UNSUPPORTED_BANDWIDTH),
    (codec_errors.UnknownModelError, ProblemCode.UNKNOWN_MODEL),
    (codec_errors.TruncatedBitstreamError, ProblemCode.TRUNCATED_ECDC),
    (codec_errors.BitstreamError, ProblemCode.BROKEN_ECDC),
    (codec_errors.WeightsUnavailableError, ProblemCode.WEIGHTS_UNAVAILABLE),
    (codec_errors.VerificationError, ProblemCode.VERIFICATION_FAILED),
    (DecoderError, ProblemCode.UNAVAILABLE),
)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_NO_DISK = (
    *(errno.EROFS, errno.ENOENT, errno.EIO, errno.EACCES, errno.EPERM),
    *(errno.ENOTDIR, errno.ENODEV, errno.ENXIO, errno.ESTALE),
)


def to_problem(error: Exception) -> Problem:
    """The problem that an error is to the client; anything unknown is a 500."""
    if isinstance(error, Problem):
        return error
    for kind, code in _FROM_CODEC:
        if isinstance(error, kind):
            return Problem(code, str(error))
    if isinstance(error, codec_errors.WeightsError):
        return Problem(ProblemCode.WEIGHTS_UNAVAILABLE, "the weights' file here is not intact")
    if isinstance(error, SchedulerError):
        code = ProblemCode.SHUTTING_DOWN if error.stopping else ProblemCode.UNAVAILABLE
        return Problem(code, str(error))
    if isinstance(error, OSError) and error.errno in _FULL:
        detail = "there is no room on the disk for what the request needs"
        return Problem(ProblemCode.INSUFFICIENT_STORAGE, detail)
    if isinstance(error, OSError) and error.errno in _NO_DISK:
        return Problem(ProblemCode.INSUFFICIENT_STORAGE, "the disk for uploads cannot be written")
    if isinstance(error, OSError) and error.errno in (errno.EMFILE, errno.ENFILE):
        return Problem(ProblemCode.UNAVAILABLE, "the server has too many files open")
    no_thread = isinstance(error, RuntimeError) and "start new thread" in str(error)
    if no_thread or isinstance(error, MemoryError):
        return Problem(ProblemCode.UNAVAILABLE, "the server has too little memory")
    return Problem(ProblemCode.INTERNAL_ERROR, "an unexpected error; the service's log says more")


class ErrorMiddleware:
    """Answers with a problem where no answer has begun. One that has begun is cut off: the server
    closes the connection of an answer that is not completed. Answers to a key with limits say what
    these are (`RateLimit-Policy`, `RateLimit`)."""

    def __init__(self, app: ASGIApp, admission: Admission):
        """A request that is cancelled once `admission` is closed has used up its grace."""
        self._app = app
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        started = False

        async def watched_send(message: Message) -> None:
            nonlocal started
            if message["type"] == "http.response.start":
                started = True
                tenant = self._admission.tenant(key_of(HTTPConnection(scope)))
                MutableHeaders(scope=message).update(tenant.headers())
            await send(message)

        try:
            await self._app(scope, receive, watched_send)
            return
        except ClientDisconnect:
            logger.info("the client has gone")
            return
        except asyncio.CancelledError:
            if not self._admission.closed:
                raise
            logger.warning("cut short, as the service stops", cut_off=started)
            problem = Problem(ProblemCode.SHUTTING_DOWN)
            request_stats(HTTPConnection(scope)).problem = problem
        except Exception as error:
            problem = to_problem(error)
            request_stats(HTTPConnection(scope)).problem = problem
            if problem.code is ProblemCode.INTERNAL_ERROR:
                logger.exception("unexpected error", path=shortened(scope["path"]), cut_off=started)
                if started:
                    raise
            elif started or not isinstance(error, _EXPECTED) or problem.code in _FAULTS:
                details = {"code": problem.code, "error": str(error), "cut_off": started}
                logger.error("the request failed", **details)
        if not started:
            await problem_response(problem)(scope, receive, watched_send)


def install(app: FastAPI, routes: Sequence[BaseRoute] = ()) -> None:
    """Answer what the framework refuses by itself with problem documents too; `routes` are those of
    its calls."""
    app.add_exception_handler(RequestValidationError, _on_invalid)  # type: ignore[arg-type]
    on_http = partial(_on_http, routes=routes)
    app.add_exception_handler(HTTPException, on_http)


async def _on_invalid(request: Request, error: RequestValidationError) -> Response:
    """422, with the name of every parameter that is wrong."""
    messages: dict[tuple[str, str], str] = {}
    for item in error.errors():
        location, name = str(item["loc"][0]), str(item["loc"][1 if len(item["loc"]) > 1 else 0])
        before = messages.get((location, name))
        # A parameter that may be of two kinds has a message of each.
        between = ", or " if location == "query" else "; "
        messages[location, name] = item["msg"] if before is None else before + between + item["msg"]
    errors = [
        ParameterProblem(name=name, location=location, message=message)
        for (location, name), message in messages.items()
    ]
    detail = "; ".join(f"{e.name}: {e.message}" for e in errors)
    return _refused(request, Problem(ProblemCode.BAD_PARAMETER, detail, errors=errors))


async def _on_http(
    request: Request, error: HTTPException, routes: Sequence[BaseRoute] = ()
) -> Response:
    """No such path, no such method, an unreadable form."""
    status = error.status_code
    # The first code of a status is the most general one.
    code = next((c for c in ProblemCode if c.status == status), ProblemCode.INTERNAL_ERROR)
    has_no_detail = error.detail == HTTPStatus(status).phrase
    place = f"{shortened(request.method)} {shortened(request.url.path)}"
    detail = place if has_no_detail else shortened(error.detail)
    headers = dict(error.headers or {})
    if "Allow" in headers:
        # The router lists the methods of one route; other methods may have routes of their own.
        methods = set(headers["Allow"].split(", "))
        for route in routes:
            if isinstance(route, Route) and route.matches(request.scope)[0] is not Match.NONE:
                methods |= route.methods or set()
        headers["Allow"] = ", ".join(sorted(methods | {"HEAD"} if "GET" in methods else methods))
        detail = f"{shortened(request.method)} is not taken here; use {headers['Allow']}"
    return _refused(request, Problem(code, detail, headers=headers))


def _refused(request: Request, problem: Problem) -> Response:
    request_stats(request).problem = problem
    return problem_response(problem)
