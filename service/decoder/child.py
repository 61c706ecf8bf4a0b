"""One decoding child: it waits for one upload, reads it, sends its blocks, and ends."""

import os
import socket
from collections.abc import Callable

import numpy as np

from model_core.audio import open_audio
from model_core.errors import InvalidAudioError

from .growing_file import GrowingFileReader
from .protocol import (
    AUDIO,
    END,
    ERROR,
    INFO,
    PREFIX,
    DecodeRequest,
    error_message,
    info_message,
    receive_request,
)
from .sandbox import allow_cpu, confine, die_with

_SOCKET = 3  # the descriptor that a child holds besides 0, 1 and 2 until it has an upload


def run(connection: int, parent: int) -> int:
    """The whole life of a child after the fork; its exit status.

    It closes every descriptor that it has inherited but its socket, confines itself, and only then
    waits for its upload, the one descriptor that it may still be given.
    """
    die_with(parent)
    os.setsid()  # Linux shares out the processor by session, so each child has a share of its own
    os.dup2(connection, _SOCKET)
    os.closerange(_SOCKET + 1, os.sysconf("SC_OPEN_MAX"))
    confine(most_files=_SOCKET + 2)
    try:
        with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, fileno=_SOCKET) as end:
            request, upload = receive_request(end)
            decode(request, end, upload, allow_cpu)
            # The server may still be saying that there are more bytes. If nobody were there to
            # receive it, it would lose what this child has sent and it has not read yet.
            while end.recv(4096):
                pass
    except (OSError, EOFError):
        return 1  # the server is gone, or needs no child: nobody is left to tell
    return 0


def decode(
    request: DecodeRequest, connection: socket.socket, upload: int, made: Callable[[float], None]
) -> None:
    """Decodes the file `upload` (a descriptor) to blocks on `connection`, until the end or the
    first error; calls `made` with the seconds sent so far after each block.

    A slow reader of the socket stops it; a reader that is gone raises `OSError` or `EOFError`.
    """

    def send(kind: bytes, payload: bytes | memoryview = b"") -> None:
        connection.sendall(PREFIX.pack(kind, len(payload)))
        if payload:
            connection.sendall(payload)

    samples = 0
    try:
        file = GrowingFileReader(upload, lambda: connection.recv(4096), request.size)
        with open_audio(
            file, request.sample_rate, request.channels, request.raw, request.max_seconds
        ) as source:
            send(INFO, info_message(source.info))
            for block in source:
                send(AUDIO, np.ascontiguousarray(block, "<f4").data.cast("B"))
                samples += block.shape[1]
                made(samples / request.sample_rate)
        send(END)
    except InvalidAudioError as error:
        send(ERROR, error_message(error))
    except MemoryError:
        send(ERROR, error_message(InvalidAudioError("the audio needs too much memory")))
