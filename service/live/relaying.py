"""`/live/relay/{name}`: speaking and listening."""

import asyncio
import re
from contextlib import aclosing

from ..cancellation import alongside
from ..http.problems import wrong_parameters
from . import parameters
from .relay import End, Listener, Piece, Relay, Start
from .session import Session
from .sound import compressed
from .streams import Decoded, codec_for, in_blocks, require_causal

_PUSHED = 1 << 12  # bytes that are parsed in one turn of the event loop: chunks may be very small
_NAME = re.compile(r"[A-Za-z0-9_-]{1,64}", re.ASCII)


class _EnoughHeard(Exception):  # noqa: N818  it is no error
    """The listener has asked for the end."""


async def speak(session: Session) -> None:
    """Audio, or a version 1 stream, for the listeners of a relay."""
    wanted = parameters.parse(parameters.Speak, session.websocket.query_params)
    name = _name(session)
    session.outlives_client = True  # the file is ended for the listeners
    with session.place(), session.app.relays.speaking(name) as relay:
        if wanted.input == "ecdc":
            session.app.models.require_ready()
            await session.ready(name=name, input=wanted.input)
            await _pass_on(session, relay)
        else:
            codec = await codec_for(session, wanted)
            async with aclosing(compressed(session, wanted, codec)) as pieces:
                async for data in pieces:
                    relay.push(data)
                    session.stepped()
                    await session.progress(listeners=len(relay.listeners))
    await session.end(relay.complete)


async def _pass_on(session: Session, relay: Relay) -> None:
    """A version 1 stream as it is, once each chunk is verified."""
    async with aclosing(session.data()) as pieces:
        async for data in pieces:
            for begin in range(0, len(data), _PUSHED):
                relay.push(data[begin : begin + _PUSHED])
                if relay.layout is not None:
                    require_causal(relay.layout.config)
                    session.is_of(relay.layout.header.model, relay.layout.config.sample_rate)
                    session.add_samples(relay.samples - session.samples)
                await asyncio.sleep(0)
            session.stepped()
            await session.progress(listeners=len(relay.listeners))


async def listen(session: Session) -> None:
    """A relay's stream, as it is or decoded."""
    wanted = parameters.parse(parameters.Listen, session.websocket.query_params)
    name = _name(session)
    session.app.models.require_ready()
    listener = Listener(wanted.preroll, lambda: session.unacknowledged)
    if session.connection is not None:
        session.connection.expect_no_data()
    with session.app.relays.listening(name, listener, session.key) as relay:
        await session.ready(name=name, output=wanted.output, waiting=relay.layout is None)
        try:
            async with session.while_connected(), alongside(_until_enough(session, relay)):
                if wanted.output == "ecdc":
                    with session.listening():
                        complete = await _stream(session, listener)
                else:
                    with session.place():
                        complete = await _audio(session, listener, wanted)
        except _EnoughHeard:
            complete = False
    await session.end(complete)


async def _until_enough(session: Session, relay: Relay) -> None:
    await session.no_data()
    if session.stopping and relay.has_speaker:
        await asyncio.Future()  # the speaker's end is the listeners' too
    raise _EnoughHeard


async def _stream(session: Session, listener: Listener) -> bool:
    """The version 1 stream; returns whether it was whole."""
    start = await listener.begun()
    if isinstance(start, End):
        return start.complete
    config = start.layout.config
    session.is_of(start.layout.header.model, config.sample_rate)
    await _told_start(session, start)
    await session.send(start.header)
    while not isinstance(pieces := await _next(session, listener), End):
        session.add_samples(sum(piece.chunk.samples for piece in pieces))
        await session.send(b"".join(piece.data for piece in pieces))
    if pieces.data:
        await session.send(pieces.data)
    return pieces.complete


async def _audio(session: Session, listener: Listener, wanted: parameters.Listen) -> bool:
    """The same as PCM; what only warms the decoder up is left out."""
    start = await listener.begun()
    if isinstance(start, End):
        return start.complete
    decoded = await Decoded.begin(session, wanted, start.layout)
    decoded.dropped = (start.now - start.chunk) * start.layout.stride
    await _told_start(session, start)
    while not isinstance(pieces := await _next(session, listener), End):
        for chunks in in_blocks([piece.chunk for piece in pieces], start.layout):
            await decoded.send(chunks)
    await decoded.finish()
    return pieces.complete


async def _next(session: Session, listener: Listener) -> list[Piece] | End:
    """As `Listener.next`; a step of the session begins."""
    pieces = await listener.next()
    session.came()
    return pieces


async def _told_start(session: Session, start: Start) -> None:
    session.came()
    frames = start.layout.header.chunk
    await session.tell("start", chunk=start.chunk, now=start.now, frames=frames)


def _name(session: Session) -> str:
    """The relay's. Raises `Problem` 422."""
    name: str = session.websocket.path_params["name"]
    if not _NAME.fullmatch(name):
        message = "a name is 1 to 64 of A-Z a-z 0-9 _ -"
        raise wrong_parameters({"name": message}, location="path")
    return name
