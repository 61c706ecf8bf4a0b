"""What the server, the fork server and a child say to each other.

The server sends the fork server `FORK` and two descriptors: the child's end of its socket, and the
report, on which the fork server says what becomes of the child:

    int32  its pid, and with it its pidfd: it has been forked; or the errno that says why not
    int32  when it has ended: its exit status, or minus the number of the signal that ended it

On the child's socket, a message is one byte for its kind, a 32-bit little-endian length, and as
many bytes. The server sends one:

    J  JSON of `DecodeRequest`, and with it the descriptor of the upload, read-only

The upload is a file that may still grow: its size says how much is there. After the request, the
server only says that there is more (`MORE`) or that this is all (`ALL`). The child answers:

    S  once, before the blocks: the recording's rate in Hz and its channels, uint32 little-endian
    A  one block, float32 little-endian `[channels, n]`
    Z  the end: the audio was whole
    E  why it is not: text
    L  the same, where the audio is too long
    M  the same, where it may be the system that has too little memory, and not the audio's fault
"""

import json
import socket
import struct
from dataclasses import asdict, dataclass

from model_core.audio import RawFormat
from model_core.errors import AudioTooLongError, EncodecError, InvalidAudioError

READY, FORK = b"ready", b"fork"
REPORT = struct.Struct("<i")

PREFIX = struct.Struct("<cI")
REQUEST, SOURCE, AUDIO, END = b"J", b"S", b"A", b"Z"
ERROR, TOO_LONG, NO_MEMORY = b"E", b"L", b"M"
RECORDED = struct.Struct("<II")  # what `SOURCE` says
MAX_TEXT = 1000  # bytes of an error
MORE, ALL = b".", b"$"
CANNOT_WORK = 1  # exit status of a child that could not read its upload, say, whatever is in it


class DecoderError(EncodecError):
    """No decoder can be had: the server's fault, not the upload's."""


class DecoderMemoryError(DecoderError):
    """The decoder was ended because all decoders together needed too much memory."""


ERRORS = {ERROR: InvalidAudioError, TOO_LONG: AudioTooLongError, NO_MEMORY: DecoderError}


@dataclass(frozen=True)
class DecodeRequest:
    """What to decode to: Hz, channels, the raw format if there is one, the limit in seconds, the
    size of the upload in bytes if it is known beforehand, and whether the blocks must come at once,
    however short."""

    sample_rate: int
    channels: int
    raw: RawFormat | None = None
    max_seconds: float | None = None
    size: int | None = None
    live: bool = False


def send_request(connection: socket.socket, request: DecodeRequest, upload: int) -> None:
    """Tells a child what to do; the first message to it. Raises `OSError` when it is gone."""
    data = json.dumps(asdict(request)).encode()
    socket.send_fds(connection, [PREFIX.pack(REQUEST, len(data)), data], [upload])


def receive_request(connection: socket.socket) -> tuple[DecodeRequest, int]:
    """Waits for the request and the descriptor of the upload. Raises `EOFError` when the server has
    none (any more)."""
    head, fds, _, _ = socket.recv_fds(connection, PREFIX.size, 1)
    if len(head) < PREFIX.size or not fds:
        raise EOFError("the server closed the connection")
    fields = json.loads(connection.recv(PREFIX.unpack(head)[1], socket.MSG_WAITALL))
    raw = fields.pop("raw")
    return DecodeRequest(**fields, raw=RawFormat(**raw) if raw else None), fds[0]
