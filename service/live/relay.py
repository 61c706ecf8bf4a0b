"""Relays: the stream of one speaker for many listeners, who may come late.

Nothing here waits: what the speaker sends is put into the queue of each listener, and a listener
that has too much waiting loses its place.
"""

import asyncio
from collections import Counter, deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass

from model_core.codec.seeking import PREROLL
from model_core.ecdc.v1 import Chunk, Layout, Parser

from ..http.problems import Problem, ProblemCode
from ..inference.shares import leaves_a_share

MOST_WAITING = 1 << 18
"""Bytes that may wait for a listener to read them, before one more chunk."""


@dataclass(frozen=True)
class Piece:
    """A chunk, and its bytes in the stream."""

    chunk: Chunk
    data: bytes


@dataclass(frozen=True)
class Start:
    """What a listener's stream begins with."""

    layout: Layout
    header: bytes
    chunk: int
    """The number of the first chunk that comes."""
    now: int
    """That of the first that is new."""


@dataclass(frozen=True)
class End:
    """The end of the stream."""

    data: bytes
    """The index, for those who have had everything before it."""
    complete: bool


class Listener:
    """The queue of one listener."""

    def __init__(self, preroll: int, unacknowledged: Callable[[], int]):
        """`preroll`: frames before the newest that it wants where it comes late. `unacknowledged`:
        bytes that have left the queue and may not have been read."""
        self.preroll = preroll
        self._unacknowledged = unacknowledged
        self.start: Start | None = None
        self._pieces: list[Piece] = []
        self._waiting = 0  # bytes
        self._end: End | None = None
        self._too_slow = False
        self._changed = asyncio.Event()

    def begin(self, start: Start) -> None:
        """The stream is there."""
        self.start = start
        self._changed.set()

    def put(self, piece: Piece) -> None:
        """The next chunk; dropped where too much waits already."""
        if self._too_slow:
            return
        if self._waiting + self._unacknowledged() > MOST_WAITING:
            self._too_slow = True
            self._pieces.clear()
            self._waiting = 0
        else:
            self._pieces.append(piece)
            self._waiting += len(piece.data)
        self._changed.set()

    def finish(self, end: End) -> None:
        """No more chunks come."""
        self._end = end
        self._changed.set()

    async def begun(self) -> Start | End:
        """Waits for the stream's start, or for the end of one that has none."""
        while self.start is None and self._end is None:
            await self._change()
        start = self.start or self._end
        assert start is not None
        return start

    async def next(self) -> list[Piece] | End:
        """Waits for what has come since the last call. Raises `Problem` 408 where the listener has
        read too little."""
        while not (self._pieces or self._end or self._too_slow):
            await self._change()
        if self._too_slow:
            detail = f"more than {MOST_WAITING} bytes wait for the listener"
            raise Problem(ProblemCode.CLIENT_TOO_SLOW, detail)
        if self._pieces:
            pieces, self._pieces, self._waiting = self._pieces, [], 0
            return pieces
        assert self._end is not None
        return self._end

    async def _change(self) -> None:
        self._changed.clear()
        await self._changed.wait()


class Relay:
    """One stream, of a speaker that may not have come yet."""

    def __init__(self) -> None:
        self.has_speaker = False
        self.listeners: set[Listener] = set()
        self._parser = Parser()
        self._head = b""
        self._recent: deque[Piece] = deque()  # enough of the newest for a late listener
        self._next = 0  # number of the next chunk

    @property
    def samples(self) -> int:
        """Of the stream so far."""
        return 0 if self._parser.header is None else self._parser.progress.samples

    @property
    def layout(self) -> Layout | None:
        """Of the stream, once its header is known."""
        return None if self._parser.header is None else self._parser.layout

    def push(self, data: bytes) -> None:
        """The next bytes of the stream, for all listeners. Raises `BitstreamError`."""
        knew = self._parser.header is not None
        if not knew:
            self._head += data
        self._parser.feed(data)
        if not knew and self._parser.header is not None:
            self._head = self._head[: self._parser.header_bytes]
            for listener in self.listeners:
                self._begin(listener)
        for chunk in self._parser.chunks():
            piece = Piece(chunk, self._parser.chunk_data)
            self._next = chunk.number + 1
            self._recent.append(piece)
            size = self._parser.layout.header.chunk
            while (len(self._recent) - 1) * size >= PREROLL:
                self._recent.popleft()
            for listener in self.listeners:
                listener.put(piece)

    def add(self, listener: Listener) -> None:
        """A listener from now on."""
        self.listeners.add(listener)
        if self._parser.header is not None:
            self._begin(listener)

    def _begin(self, listener: Listener) -> None:
        layout = self._parser.layout
        warm = -(-listener.preroll // layout.header.chunk)
        pieces = list(self._recent)[-warm:] if warm else []
        first = self._next - len(pieces)
        listener.begin(Start(layout, self._head, first, self._next))
        for piece in pieces:
            listener.put(piece)

    @property
    def complete(self) -> bool:
        """Whether the stream has come to its end."""
        return self._parser.complete

    def finish(self) -> None:
        """The speaker has gone: the end for all listeners."""
        index = self._parser.index if self.complete else None
        tail = b"" if index is None else index.to_bytes(self._parser.layout)
        for listener in self.listeners:
            whole = listener.start is not None and not listener.start.now
            listener.finish(End(tail if whole else b"", self.complete))


class Relays:
    """Those of a service, by their names. One is there while anybody is in it."""

    def __init__(self, max_listeners: int, keys: int = 0):
        """`keys`: how many API keys there are, which share the listeners."""
        self._max_listeners = max_listeners
        self._shared = keys > 1
        self._relays: dict[str, Relay] = {}
        self._listeners: Counter[str] = Counter()  # by key

    def __len__(self) -> int:
        return len(self._relays)

    @property
    def listeners(self) -> int:
        """In all relays."""
        return self._listeners.total()

    @contextmanager
    def speaking(self, name: str) -> Iterator[Relay]:
        """The relay, for its one speaker; its end is the stream's. Raises `Problem` 409 where
        there is another."""
        relay = self._relays.setdefault(name, Relay())
        if relay.has_speaker:
            raise Problem(ProblemCode.RELAY_TAKEN, f"somebody speaks in {name} already")
        relay.has_speaker = True
        try:
            yield relay
        finally:
            del self._relays[name]  # who comes now waits for the next speaker
            relay.has_speaker = False
            relay.finish()

    @contextmanager
    def listening(self, name: str, listener: Listener, key: str = "") -> Iterator[Relay]:
        """The relay, with a listener who has this API key. Raises `Problem` 429 where there are too
        many of them."""
        free = self._max_listeners - self.listeners
        if not free or (self._shared and not leaves_a_share(self._listeners[key], free)):
            raise Problem(ProblemCode.BUSY, f"{self.listeners} listeners are there")
        relay = self._relays.setdefault(name, Relay())
        self._listeners[key] += 1
        relay.add(listener)
        try:
            yield relay
        finally:
            self._listeners[key] -= 1
            relay.listeners.discard(listener)
            empty = not relay.listeners and not relay.has_speaker
            if empty and self._relays.get(name) is relay:
                del self._relays[name]
