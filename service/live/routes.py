"""The paths of live streams."""

from fastapi import APIRouter, WebSocket

from ..http.problems import Problem, ProblemCode, problem_response
from . import relaying, streams
from .session import Session

router = APIRouter()


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


@router.websocket("/{path:path}")
async def nothing(websocket: WebSocket) -> None:
    """Without it the router would refuse with a bare 403."""
    problem = Problem(ProblemCode.NOT_FOUND, "no live stream has this path")
    await websocket.send_denial_response(problem_response(problem))
