"""The paths of live streams."""

from fastapi import APIRouter, Request, WebSocket

from ..http.problems import Problem, ProblemCode, problem_response
from ..http.request_stats import REQUEST_ID, request_id_of
from . import relaying, streams
from .session import Session

router = APIRouter()
_METHODS = ["GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS"]


@router.websocket("/live/compress")
async def compress(websocket: WebSocket) -> None:
    await Session(websocket, "compress").run(streams.compress)


@router.websocket("/live/decompress")
async def decompress(websocket: WebSocket) -> None:
    await Session(websocket, "decompress").run(streams.decompress)


@router.websocket("/live/relay/{name}")
async def relay(websocket: WebSocket) -> None:
    if websocket.query_params.get("role") == "speak":
        await Session(websocket, "speak").run(relaying.speak)
    else:
        await Session(websocket, "listen").run(relaying.listen)


@router.api_route("/live/compress", methods=_METHODS, include_in_schema=False)
@router.api_route("/live/decompress", methods=_METHODS, include_in_schema=False)
@router.api_route("/live/relay/{name}", methods=_METHODS, include_in_schema=False)
async def plain(request: Request) -> None:
    """Most likely a proxy did not pass the handshake on."""
    detail = "a WebSocket's handshake is needed; a proxy must pass Connection and Upgrade on"
    upgrade = {"Upgrade": "websocket", "Connection": "Upgrade"}
    raise Problem(ProblemCode.UPGRADE_REQUIRED, detail, headers=upgrade)


@router.websocket("/{path:path}")
async def nothing(websocket: WebSocket) -> None:
    """Without it the router would refuse with a bare 403."""
    problem = Problem(ProblemCode.NOT_FOUND, "no live stream has this path")
    answer = problem_response(problem)
    answer.headers[REQUEST_ID] = request_id_of(websocket.scope)
    await websocket.send_denial_response(answer)
