"""What the server, the fork server and a child say to each other.

The server sends the fork server `FORK` and two descriptors: the child's end of its socket, and the
report, on which the fork server says what becomes of the child:

    int32  0 and with it the child's pidfd: it has been forked; or the errno that says why not
    int32  when it has ended: its exit status, or minus the number of the signal that ended it

On the child's socket, a message is one byte for its kind, a 32-bit little-endian length, and as
many bytes. The server sends one, and after it only the words of `growing_file`:

    J  JSON of `DecodeRequest`, and with it the descriptor of the upload

The child answers:

    I  JSON of `SourceInfo`, once, before the first block
    A  one block, float32 little-endian `[channels, n]`
    Z  the end: the audio was whole
    E  JSON {"error": name, "message": text}: why it is not
"""

import json
import socket
import struct
from dataclasses import asdict, dataclass

from model_core.audio import RawFormat, SourceInfo
from model_core.errors import AudioTooLongError, EncodecError, InvalidAudioError

READY, FORK = b"ready", b"fork"
REPORT = struct.Struct("<i")

REQUEST, INFO, AUDIO, END, ERROR = b"J", b"I", b"A", b"Z", b"E"
PREFIX = struct.Struct("<cI")
MAX_TEXT = 1 << 16  # bytes of an I or E message


class DecoderError(EncodecError):
    """No decoder can be had: the server's fault, not the upload's."""


@dataclass(frozen=True)
class DecodeRequest:
    """What to decode to: Hz, channels, the raw format if there is one, the limit in seconds, and
    the size of the upload in bytes if it is known."""

    sample_rate: int
    channels: int
    raw: RawFormat | None = None
    max_seconds: float | None = None
    size: int | None = None

    def to_bytes(self) -> bytes:
        """JSON."""
        return json.dumps(asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "DecodeRequest":
        """The request of `to_bytes`."""
        fields = json.loads(data)
        if fields["raw"] is not None:
            fields["raw"] = RawFormat(**fields["raw"])
        return cls(**fields)


def send_request(connection: socket.socket, request: DecodeRequest, upload: int) -> None:
    """Tells a child what to do; the first message to it. Raises `OSError` when it is gone."""
    data = request.to_bytes()
    socket.send_fds(connection, [PREFIX.pack(REQUEST, len(data)), data], [upload])


def receive_request(connection: socket.socket) -> tuple[DecodeRequest, int]:
    """Waits for the request and the descriptor of the upload. Raises `EOFError` when the server has
    none (any more)."""
    head, fds, _, _ = socket.recv_fds(connection, PREFIX.size, 1)
    if len(head) < PREFIX.size or not fds:
        raise EOFError("the server closed the connection")
    data = connection.recv(PREFIX.unpack(head)[1], socket.MSG_WAITALL)
    return DecodeRequest.from_bytes(data), fds[0]


def info_message(info: SourceInfo) -> bytes:
    """The payload of an I message."""
    return json.dumps(vars(info)).encode()


def received_info(payload: bytes) -> SourceInfo:
    """What an I message says. Raises `InvalidAudioError`: the child is not trusted."""
    try:
        return SourceInfo(**json.loads(payload))
    except (ValueError, TypeError):
        raise InvalidAudioError("the audio decoder failed on this input") from None


def error_message(error: InvalidAudioError) -> bytes:
    """The payload of an E message."""
    text = str(error)[:1000]
    return json.dumps({"error": type(error).__name__, "message": text}).encode()


def received_error(payload: bytes) -> InvalidAudioError:
    """The error of an E message, of its type."""
    try:
        fields = json.loads(payload)
        message = str(fields["message"])[:1000]
        too_long = fields["error"] == AudioTooLongError.__name__
    except (ValueError, KeyError, TypeError):
        return InvalidAudioError("the audio decoder failed")
    return AudioTooLongError(message) if too_long else InvalidAudioError(message)
