"""What the server and a decoding child say to each other.

Messages have one kind byte, a 32-bit little-endian length, and as many bytes. The server sends one,
and then nothing but the words of `spool`:

    J  JSON of `Job`, and with it the descriptor of the upload

The child answers with:

    I  JSON of `SourceInfo`, once, before the first block
    A  one block, float32 little-endian `[channels, n]`
    Z  the end: the audio was whole
    E  JSON {"error": name, "message": text}: why it is not
"""

import dataclasses
import json
import socket
import struct
from dataclasses import dataclass

from model_core.audio import RawFormat
from model_core.errors import AudioTooLongError, InvalidAudioError

JOB, INFO, AUDIO, END, ERROR = b"J", b"I", b"A", b"Z", b"E"
PREFIX = struct.Struct("<cI")
MAX_TEXT = 1 << 16  # bytes of an I or E message


@dataclass(frozen=True)
class Job:
    """What to decode to: Hz, channels, the raw format if there is one, the limit in seconds, and
    the size of the upload in bytes if it is known."""

    sample_rate: int
    channels: int
    raw: RawFormat | None = None
    max_seconds: float | None = None
    size: int | None = None

    def to_bytes(self) -> bytes:
        """JSON."""
        return json.dumps(dataclasses.asdict(self)).encode()

    @classmethod
    def from_bytes(cls, data: bytes) -> "Job":
        """The job of `to_bytes`."""
        fields = json.loads(data)
        if fields["raw"] is not None:
            fields["raw"] = RawFormat(**fields["raw"])
        return cls(**fields)


def send_job(connection: socket.socket, job: Job, upload: int) -> None:
    """Says a child what to do, the first thing said to it. Raises `OSError` when it is gone."""
    data = job.to_bytes()
    socket.send_fds(connection, [PREFIX.pack(JOB, len(data)), data], [upload])


def receive_job(connection: socket.socket) -> tuple[Job, int]:
    """Waits for the job and the descriptor of the upload. Raises `EOFError` when the server has
    none (any more)."""
    head, fds, _, _ = socket.recv_fds(connection, PREFIX.size, 1)
    if len(head) < PREFIX.size or not fds:
        raise EOFError("the server closed the connection")
    data = connection.recv(PREFIX.unpack(head)[1], socket.MSG_WAITALL)
    return Job.from_bytes(data), fds[0]


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
