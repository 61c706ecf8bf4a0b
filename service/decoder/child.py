"""One decoding child: waits for one upload, reads it, sends its blocks, ends."""

import dataclasses
import json
import os
import socket

from model_core.audio import open_audio
from model_core.errors import InvalidAudioError

from .growing_file import GrowingFile
from .protocol import AUDIO, END, ERROR, INFO, PREFIX, Job, error_message, receive_job
from .sandbox import allow_cpu, confine, die_with

_SOCKET = 3  # the descriptor that a child holds besides 0, 1 and 2 until it has an upload


def decode(job: Job, connection: socket.socket, spool: int) -> None:
    """Decodes the upload in `spool` to blocks on `connection`, until the end or the first error.

    A slow reader of the socket stops it; a reader that is gone raises `OSError` or `EOFError`.
    """

    def send(kind: bytes, payload: bytes = b"") -> None:
        connection.sendall(PREFIX.pack(kind, len(payload)) + payload)

    samples = 0
    try:
        file = GrowingFile(spool, lambda: connection.recv(4096), job.size)
        with open_audio(file, job.sample_rate, job.channels, job.raw, job.max_seconds) as source:
            send(INFO, json.dumps(dataclasses.asdict(source.info)).encode())
            for block in source:
                send(AUDIO, block.astype("<f4", copy=False).tobytes())
                samples += block.shape[1]
                allow_cpu(samples / job.sample_rate)
        send(END)
    except InvalidAudioError as error:
        send(ERROR, error_message(error))
    except MemoryError:
        send(ERROR, error_message(InvalidAudioError("the audio needs too much memory")))


def run(connection: int, parent: int) -> int:
    """The whole life of a child after the fork; the exit status.

    Every inherited descriptor but its socket is closed first, then the process is confined, and
    only then it waits for its upload: the one descriptor that it may still be given.
    """
    die_with(parent)
    os.setsid()
    os.dup2(connection, _SOCKET)
    os.closerange(_SOCKET + 1, os.sysconf("SC_OPEN_MAX"))
    os.environ.clear()
    confine(most_files=_SOCKET + 2)
    try:
        with socket.socket(fileno=_SOCKET) as end:
            job, spool = receive_job(end)
            decode(job, end, spool)
            # The server may still be telling of more bytes; were nobody there to hear it, it
            # would lose what was sent and is not read yet.
            while end.recv(4096):
                pass
    except (OSError, EOFError):
        return 1  # the server is gone, or needs no child: nobody is left to tell
    return 0
