"""A client of live streams, and what it should get."""

import contextlib
import io
import json
import socket
import struct
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import ClientConnection, connect

from model_core.audio.samples import Samples
from model_core.codec import ChunkCompressor, ChunkDecompressor, Codec, Recording
from model_core.codec.work import iterate_now, run_now
from model_core.ecdc.v1 import ChunkFile
from tests.service.live import Live

END = '{"type":"end"}'
RATE = 24_000


@dataclass
class Heard:
    """All that came on a connection until it was closed."""

    data: bytes = b""
    messages: list[dict[str, Any]] = field(default_factory=list)
    code: int | None = None

    def of(self, kind: str) -> dict[str, Any]:
        """The only message of that type."""
        (found,) = [message for message in self.messages if message["type"] == kind]
        return found

    @property
    def problem(self) -> str:
        """The code of the problem it ended with."""
        found: str = self.of("error")["problem"]["code"]
        return found


def opened(server: Live, path: str, **options: Any) -> ClientConnection:
    """A new connection."""
    options = {"max_size": None, "compression": None, "proxy": None, **options}
    return connect(f"ws://{server.host}:{server.port}/live/{path}", **options)


def hear(connection: ClientConnection) -> Heard:
    """Everything up to the end."""
    heard = Heard()
    parts = []
    with contextlib.suppress(ConnectionClosed):
        while True:
            message = connection.recv(timeout=30)
            if isinstance(message, bytes):
                parts.append(message)
            else:
                heard.messages.append(json.loads(message))
    heard.data, heard.code = b"".join(parts), connection.close_code
    return heard


def talk(server: Live, path: str, pieces: Iterable[bytes | str] = (), **options: Any) -> Heard:
    """What is answered to these messages, and an `end`."""
    with opened(server, path, **options) as connection:
        with contextlib.suppress(ConnectionClosed):
            for piece in pieces:
                connection.send(piece)
            connection.send(END)
        return hear(connection)


def pieces(data: bytes, size: int) -> Iterator[bytes]:
    """`data`, cut."""
    for start in range(0, len(data), size):
        yield data[start : start + size]


def next_of(connection: ClientConnection, kind: str) -> dict[str, Any]:
    """The next text message of that type."""
    while True:
        message = connection.recv(timeout=20)
        if isinstance(message, str) and json.loads(message)["type"] == kind:
            found: dict[str, Any] = json.loads(message)
            return found


def vanish(connection: ClientConnection) -> None:
    """The client is gone without a word: its connection is reset."""
    raw = connection.socket
    raw.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    # `close` alone would wait for the thread that receives.
    raw.shutdown(socket.SHUT_RD)
    raw.close()


def codec_of(server: Live) -> Codec:
    """Its 24 kHz model."""
    found: Codec = server.app.state.models._warm["encodec_24khz"]
    return found


def noise(samples: int, seed: int = 0) -> Samples:
    """`[1, n]`, below clipping."""
    found = np.random.default_rng(seed).normal(0, 0.1, (1, samples))
    return found.astype(np.float32).clip(-0.9, 0.9)


def at_once(
    codec: Codec,
    samples: Samples,
    chunk: int = 4,
    recorded: tuple[int, int] | None = (RATE, 1),
    **options: Any,
) -> bytes:
    """The file of `samples` compressed in one go, at the ordinary block size."""
    rate, channels = recorded or (None, None)
    recording = Recording(rate, channels)
    compressor = ChunkCompressor(codec, 6.0, recording=recording, chunk=chunk, **options)
    return run_now(compressor.push(samples)) + run_now(compressor.finish())


def audio_of(codec: Codec, file: bytes) -> Samples:
    """The samples of a version 1 file."""
    blocks = ChunkDecompressor(codec, ChunkFile(io.BytesIO(file))).blocks()
    return np.concatenate(list(iterate_now(blocks)), axis=1)
