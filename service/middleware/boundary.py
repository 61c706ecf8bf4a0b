"""The last resort: an error nobody expected is a 500 in the form of all other errors."""

import asyncio
from collections.abc import Callable

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problem_handlers import as_problem, problem_response
from ..problems import Problem, ProblemCode

logger = structlog.get_logger(__name__)


class ErrorBoundary:
    """Answers with a problem where no answer has begun. One that has is cut off: the server
    closes the connection of an answer that is not brought to its end."""

    def __init__(self, app: ASGIApp, stopping: Callable[[], bool]):
        """`stopping`: whether the service stops; what is cancelled then has used up its grace."""
        self._app = app
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
            problem = as_problem(_cause(error))
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
