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

    S  once, before the blocks: JSON of `Source`
    A  one block, float32 little-endian `[channels, n]`
    Z  the end: the audio was whole; the recording's samples at its own rate, uint64 little-endian
    E  why it is not: text
    L  the same, where the audio is too long
    M  the same, where it may be the system that has too little memory, and not the audio's fault
"""

import json
import socket
import struct
from dataclasses import asdict, dataclass

from model_core.audio import RawFormat, Tags, clean_tags
from model_core.audio.reader import MAX_CHANNELS, MAX_RATE, MIN_RATE
from model_core.errors import AudioTooLongError, EncodecError, InvalidAudioError

READY, FORK = b"ready", b"fork"
REPORT = struct.Struct("<i")

PREFIX = struct.Struct("<cI")
REQUEST, SOURCE, AUDIO, END = b"J", b"S", b"A", b"Z"
ERROR, TOO_LONG, NO_MEMORY = b"E", b"L", b"M"
MAX_SOURCE = 64 * 1024  # bytes of `SOURCE`
LENGTH = struct.Struct("<Q")  # what `END` says
_MOST_SECONDS = 1e9
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


@dataclass(frozen=True)
class Source:
    """What a recording was before it was decoded, as far as it is known: its rate in Hz, channels,
    tags, and about how many seconds it is long."""

    rate: int | None = None
    channels: int | None = None
    tags: Tags = ()
    seconds: float | None = None

    def to_bytes(self) -> bytes:
        """As a child sends it."""
        fields = [self.rate, self.channels, self.tags, self.seconds]
        return json.dumps(fields, ensure_ascii=False).encode()


def parse_source(data: bytes) -> Source:
    """What a child says, who is not trusted. Raises `ValueError` for what no child would say."""
    try:
        rate, channels, tags, *rest = json.loads(data)
        pairs = [(str(key), str(value)) for key, value in tags]
    except (RecursionError, TypeError, ValueError) as error:
        raise ValueError("it describes no recording") from error
    for number, least, most in ((rate, MIN_RATE, MAX_RATE), (channels, 1, MAX_CHANNELS)):
        if type(number) is not int or not least <= number <= most:
            raise ValueError("it describes no recording")
    claimed = rest[0] if rest else None
    seconds = claimed if type(claimed) is float and 0 < claimed < _MOST_SECONDS else None
    return Source(rate, channels, clean_tags(pairs), seconds)


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
