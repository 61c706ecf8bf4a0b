"""The paths of live streams."""

from fastapi import APIRouter, WebSocket

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
