"""The last resort: an error nobody expected is a 500 in the form of all other errors."""

import structlog
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from ..problem_handlers import as_problem, problem_response
from ..problems import ProblemCode

logger = structlog.get_logger(__name__)


class ErrorBoundary:
    """Answers 500 where no answer has begun; one that has is cut off by raising on."""

    def __init__(self, app: ASGIApp):
        self._app = app

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
        except Exception as error:
            if started:
                raise
            problem = as_problem(error)
            if problem.code is ProblemCode.INTERNAL_ERROR:
                logger.exception("unexpected error", path=scope["path"])
            else:
                logger.error("the request failed", code=problem.code, error=str(error))
            await problem_response(problem)(scope, receive, send)
